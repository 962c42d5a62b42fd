"""Rows of log lines. A run's row counts its lines, so `seq` has no gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.core.run import Line
from service.store.database.transaction import Transaction


def rows_of_lines(transaction: Transaction, run_id: str, lines: Sequence[Line], last_seq: int) -> list[dict[str, Any]]:
    """Return rows for `lines`, the last of which gets `last_seq`, and wake the run's readers after the commit.

    The caller has already raised `last_seq` in the run's row, which is therefore locked.
    """
    transaction.topics.add(run_id)
    at = transaction.moment.at
    return [
        {
            "run_id": run_id,
            "seq": seq,
            "ts": at(line.at),
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
