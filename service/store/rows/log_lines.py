"""Rows of log lines. A run's row counts its lines, so `seq` has no gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from service.core.run import Line
from service.store.database.transaction import Transaction
from service.store.schema.models import log_lines


class NewLine(NamedTuple):
    """A row of `log_lines`. The fields are in the order of its columns."""

    run_id: str
    seq: int
    ts: str
    level: str
    event: str
    node: str | None
    step: int | None
    attempt: int | None
    message: str
    data: str


def rows_of_lines(
    transaction: Transaction, run_id: str, lines: Sequence[Line], last_seq: int, written_at: str | None = None
) -> list[NewLine]:
    """Return rows for `lines`, the last of which gets `last_seq`, and wake the run's readers after the commit.

    The caller has already raised `last_seq` in the run's row, which is therefore locked. `written_at` is the time of
    lines without a time of their own; None means the time of the transaction.
    """
    transaction.topics.add(run_id)
    moment = transaction.moment
    rows = []
    for seq, (event, message, level, node, step, attempt, data, at) in enumerate(lines, last_seq - len(lines) + 1):
        ts = written_at if at is None and written_at is not None else moment.at(at)
        rows.append(NewLine(run_id, seq, ts, level._value_, event._value_, node, step, attempt, message, data))
    return rows


def insert_lines(transaction: Transaction, rows: Sequence[NewLine]) -> None:
    """Insert into `log_lines` the rows that `rows_of_lines` has returned."""
    transaction.insert_tuples(log_lines, rows)
