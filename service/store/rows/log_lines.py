"""Rows of log lines. A run's row counts its lines, so `seq` has no gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.core.run import Line
from service.store.database.transaction import Transaction


def rows_of_lines(
    transaction: Transaction, run_id: str, lines: Sequence[Line], last_seq: int, written_at: float | None = None
) -> list[dict[str, Any]]:
    """Return rows for `lines`, the last of which gets `last_seq`, and wake the run's readers after the commit.

    The caller has already raised `last_seq` in the run's row, which is therefore locked. `written_at` is the monotonic
    time of lines without a time of their own; None means the time of the transaction.
    """
    transaction.topics.add(run_id)
    at = transaction.moment.at
    return [
        {
            "run_id": run_id,
            "seq": seq,
            "ts": at(written_at if line.at is None else line.at),
            "level": line.level.value,
            "event": line.event.value,
            "node": line.node,
            "step": line.step,
            "attempt": line.attempt,
            "message": line.message,
            "data": line.data,
        }
        for seq, line in enumerate(lines, last_seq - len(lines) + 1)
    ]
