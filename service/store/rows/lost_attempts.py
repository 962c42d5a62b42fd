"""Attempts of which nobody knows how they went."""

from __future__ import annotations

from typing import Any

from service.core import codec
from service.store.database.transaction import Transaction

SERVER_LOST = {"type": "server_lost", "message": "the server died or lost its lease during this attempt"}
INTERRUPTED = {"type": "interrupted", "message": "the server stopped during this attempt"}


def lost_attempt(
    transaction: Transaction, run_id: str, step: int, attempt: int, started_at: Any, error: dict[str, str]
) -> dict[str, Any]:
    """A row for an attempt of which nobody knows how it went."""
    return {
        "run_id": run_id,
        "step": step,
        "attempt": attempt,
        "error": codec.encode(error),
        "started_at": started_at,
        "finished_at": transaction.moment.text(),
    }
