"""Decide whether a failed node is retried, and compute the backoff, as in the Amazon States Language."""

from __future__ import annotations

from service.core.graph import UNRETRIED, Retry


def is_retried(retry: Retry | None, error_type: str, failures: int) -> bool:
    """Return whether to retry after `failures` failed attempts, the last of which failed with `error_type`."""
    if retry is None or failures >= retry.max_attempts:
        return False
    return error_type not in UNRETRIED if retry.on is None else error_type in retry.on


def backoff_s(retry: Retry, failures: int) -> float:
    """Return the seconds to wait after `failures` failed attempts.

    Each failure multiplies the wait by `backoff_rate`, until it reaches `max_backoff_s`.
    """
    if not retry.backoff_s:
        return 0.0  # The power below may overflow, but zero never grows.
    try:
        grown = float(retry.backoff_s) * float(retry.backoff_rate) ** (failures - 1)
    except OverflowError:
        grown = float(retry.max_backoff_s)
    return min(grown, float(retry.max_backoff_s))
