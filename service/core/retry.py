"""Whether a failed node is tried again, and after how long. Backoff as in the Amazon States Language."""

from __future__ import annotations

from service.core.graph import UNRETRIED, Retry


def is_retried(retry: Retry | None, error_type: str, failures: int) -> bool:
    """Whether there is another attempt after `failures` failed ones of this budget, the last with `error_type`."""
    if retry is None or failures >= retry.max_attempts:
        return False
    return error_type not in UNRETRIED if retry.on is None else error_type in retry.on


def backoff_s(retry: Retry, failures: int) -> float:
    """Seconds until the next attempt after `failures` failed ones: growing by the rate, up to the maximum."""
    if not retry.backoff_s:
        return 0.0  # Nothing grows to nothing, also where the power below is beyond any float.
    try:
        grown = float(retry.backoff_s) * float(retry.backoff_rate) ** (failures - 1)
    except OverflowError:
        grown = float(retry.max_backoff_s)
    return min(grown, float(retry.max_backoff_s))
