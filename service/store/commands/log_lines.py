"""Append log lines while a step is running."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from sqlalchemy import bindparam, select, update

from service.core.run import Line
from service.store.commands.repeatable import Executed, repeatable
from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.database.writing.writer import Writer
from service.store.rows.fence import HELD
from service.store.rows.log_lines import insert_lines, rows_of_lines
from service.store.rows.records import Lease
from service.store.schema.models import runs

_COUNT_UP = Statement(
    update(runs).where(*HELD).values(last_seq=runs.c.last_seq + bindparam("count")).returning(runs.c.last_seq)
)

# The lock waits for a COMMIT that is still in progress.
_LAST_SEQ = Statement(
    select(runs.c.last_seq)
    .where(runs.c.id == bindparam("run_id"), runs.c.lease_token == bindparam("token"))
    .with_for_update()
)


class LogCommands:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def append(self, lease: Lease, lines: Sequence[Line]) -> Future[bool]:
        """Write lines of a running step. The future's result is False if the lease no longer holds.

        The command is queued when this returns, so whatever the caller submits next is written after the lines.
        """

        place = {"run_id": lease.run_id, "token": lease.token}

        def append(transaction: Transaction) -> Executed[bool]:
            row = transaction.one(_COUNT_UP, **place, count=len(lines))
            if row is None:
                return Executed(False)
            reached = row[0]
            insert_lines(transaction, rows_of_lines(transaction, lease.run_id, lines, reached))
            return Executed(True, lambda transaction: _has_reached(transaction, place, reached))

        return self._writer.submit(repeatable(append), touches=(lease.run_id,))


def _has_reached(transaction: Transaction, place: dict[str, Any], seq: int) -> bool | None:
    """Return True if the run has the line `seq`, else None. Only the lease's holder writes lines under its token."""
    last = transaction.one(_LAST_SEQ, **place)
    return True if last is not None and last[0] >= seq else None
