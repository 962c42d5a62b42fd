"""Verbs on log lines. `seq` is given out under the run's own row, so that lines have no holes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from sqlalchemy import bindparam, func, select, update

from service.core.errors import NotFound
from service.core.run import Line
from service.core.transitions import OVER
from service.store.database.clock import shown
from service.store.database.reader import Reader, Snapshot
from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.database.writer import Writer
from service.store.queries.pages import PAGE_BYTES_MAX, cut
from service.store.rows.fence import HELD
from service.store.rows.records import Lease, LineRecord
from service.store.schema.models import log_lines, runs

_COUNT_UP = Statement(
    update(runs).where(*HELD).values(last_seq=runs.c.last_seq + bindparam("count")).returning(runs.c.last_seq)
)

# Locked, which waits for a COMMIT that is still going on.
_LAST_SEQ = Statement(
    select(runs.c.last_seq)
    .where(runs.c.id == bindparam("run_id"), runs.c.lease_token == bindparam("token"))
    .with_for_update()
)

UNMEASURED_LINES_MAX = 40
"""So many lines make a page of a decent size, however large they are: 16 KiB of message and 64 KiB of data."""

_SIZE = func.length(log_lines.c.message) + func.length(log_lines.c.data)
_BETWEEN = (
    log_lines.c.run_id == bindparam("run_id"),
    # A line has the next number, so that a range of numbers is a page of lines.
    log_lines.c.seq > bindparam("after_seq"),
    log_lines.c.seq <= bindparam("last_seq"),
)
BYTES_OF_LINES = select(func.sum(_SIZE)).where(*_BETWEEN)
SIZES_OF_LINES = select(log_lines.c.seq, _SIZE).where(*_BETWEEN)


def rows_of_lines(transaction: Transaction, run_id: str, lines: Sequence[Line], last_seq: int) -> list[dict[str, Any]]:
    """Rows for `lines`, the last of which has `last_seq`, and a hint to their readers.

    The run's row must have counted them already.
    """
    transaction.woken.add(run_id)
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


class Logs:
    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    def append(self, lease: Lease, lines: Sequence[Line]) -> Future[bool]:
        """Write lines of a step that is going on; False where the lease no longer holds.

        Queued when this returns, so that what its caller submits next comes after it.
        """

        reached: int | None = None

        def verb(transaction: Transaction) -> bool:
            nonlocal reached
            place = {"run_id": lease.run_id, "token": lease.token}
            if reached is not None:
                # Nobody else writes lines under this token: so far only by a COMMIT that looked like a failure.
                last = transaction.one(_LAST_SEQ, **place)
                if last is not None and last[0] >= reached:
                    return True
            row = transaction.one(_COUNT_UP, **place, count=len(lines))
            if row is None:
                return False
            reached = row[0]
            transaction.insert(log_lines, rows_of_lines(transaction, lease.run_id, lines, row[0]))
            return True

        return self._writer.submit(verb, touching=(lease.run_id,))

    async def page(self, run_id: str, after_seq: int, limit: int) -> tuple[list[LineRecord], int, bool]:
        """Lines after `after_seq`, the run's last `seq`, and whether the run is over.

        Fewer than `limit` where there are no more, or where they are large.
        """
        async with self._reader.snapshot() as snapshot:
            run = await snapshot.one(select(runs.c.last_seq, runs.c.status).where(runs.c.id == run_id))
            if run is None:
                raise NotFound("run", run_id)
            lines = await page_of_lines(snapshot, run_id, after_seq, run.last_seq, limit)
        return lines, run.last_seq, run.status in OVER


async def page_of_lines(snapshot: Snapshot, run_id: str, after_seq: int, last_seq: int, limit: int) -> list[LineRecord]:
    """Lines of a run that has `last_seq`, up to PAGE_BYTES_MAX; one at least, where there is one."""
    last = min(last_seq, after_seq + limit)
    if last <= after_seq:
        return []
    if last - after_seq > UNMEASURED_LINES_MAX:
        between = {"run_id": run_id, "after_seq": after_seq, "last_seq": last}
        whole = await snapshot.one(BYTES_OF_LINES, **between)
        if whole is not None and (whole[0] or 0) > PAGE_BYTES_MAX:
            last = cut(await snapshot.all(SIZES_OF_LINES, **between), after_seq + 1, last)
    rows = await snapshot.all(lines_after(run_id, after_seq, last - after_seq))
    return [line_record(row) for row in rows]


def lines_after(run_id: str, after_seq: int, limit: int) -> Any:
    return (
        select(log_lines)
        .where(log_lines.c.run_id == run_id, log_lines.c.seq > after_seq)
        .order_by(log_lines.c.seq)
        .limit(limit)
    )


def line_record(row: Any) -> LineRecord:
    return LineRecord(
        seq=row.seq,
        ts=shown(row.ts) or "",
        level=row.level,
        event=row.event,
        node=row.node,
        step=row.step,
        attempt=row.attempt,
        message=row.message,
        data=row.data,
    )
