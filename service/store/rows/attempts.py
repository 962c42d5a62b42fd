"""Rows for attempts whose outcome is unknown, because their server died or stopped."""

from __future__ import annotations

from typing import Any

from service.core import codec
from service.store.database.transaction import Transaction

SERVER_LOST = {"type": "server_lost", "message": "the server died or lost its lease during this attempt"}
INTERRUPTED = {"type": "interrupted", "message": "the server stopped during this attempt"}


def row_of_lost_attempt(
    transaction: Transaction, run_id: str, step: int, attempt: int, started_at: Any, error: dict[str, str]
) -> dict[str, Any]:
    """Return the row of an attempt whose outcome is unknown."""
    return {
        "run_id": run_id,
        "step": step,
        "attempt": attempt,
        "error": codec.encode(error),
        "started_at": started_at,
        "finished_at": transaction.moment.text(),
    }
