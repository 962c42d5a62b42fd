"""Read stored log lines, a page at a time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, func, select

from service.core.errors import NotFound
from service.core.transitions import OVER
from service.store.database.clock import shown
from service.store.database.reader import Reader, Snapshot
from service.store.queries.pages import PAGE_BYTES_MAX, cut
from service.store.rows.records import LineRecord
from service.store.schema.kept import is_kept
from service.store.schema.models import log_lines, runs

UNMEASURED_LINES_MAX = 40
"""This many lines always fit in one page, because a line has at most 16 KiB of message and 64 KiB of data."""

_SIZE = func.length(log_lines.c.message) + func.length(log_lines.c.data)
_BETWEEN = (
    log_lines.c.run_id == bindparam("run_id"),
    # `seq` has no gaps, so a range of numbers is a page of lines.
    log_lines.c.seq > bindparam("after_seq"),
    log_lines.c.seq <= bindparam("last_seq"),
)
BYTES_OF_LINES = select(func.sum(_SIZE)).where(*_BETWEEN)
SIZES_OF_LINES = select(log_lines.c.seq, _SIZE).where(*_BETWEEN)
LINES_AFTER = (
    select(log_lines)
    .where(log_lines.c.run_id == bindparam("run_id"), log_lines.c.seq > bindparam("after_seq"))
    .order_by(log_lines.c.seq)
    .limit(bindparam("limit"))
)
_LAST_SEQ = select(runs.c.last_seq, runs.c.status).where(runs.c.id == bindparam("run_id"), is_kept())


class LogQueries:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def page(
        self, run_id: str, after_seq: int, limit: int, bytes_max: int = PAGE_BYTES_MAX
    ) -> tuple[list[LineRecord], int, bool]:
        """Return lines after `after_seq`, the run's last `seq`, and whether the run is over.

        There are fewer than `limit` lines if there are no more, or if they are large. Raise NotFound if there is no
        such run.
        """
        async with self._reader.snapshot() as snapshot:
            run = await snapshot.one(_LAST_SEQ, run_id=run_id)
            if run is None:
                raise NotFound("run", run_id)
            lines = await page_of_lines(snapshot, run_id, after_seq, run.last_seq, limit, bytes_max)
        return lines, run.last_seq, run.status in OVER


async def page_of_lines(
    snapshot: Snapshot, run_id: str, after_seq: int, last_seq: int, limit: int, bytes_max: int = PAGE_BYTES_MAX
) -> list[LineRecord]:
    """Return lines after `after_seq` of a run with `last_seq`: at most `bytes_max` bytes, but at least one line."""
    last = min(last_seq, after_seq + limit)
    if last <= after_seq:
        return []
    if last - after_seq > max(1, UNMEASURED_LINES_MAX * bytes_max // PAGE_BYTES_MAX):
        between = {"run_id": run_id, "after_seq": after_seq, "last_seq": last}
        total = await snapshot.one(BYTES_OF_LINES, **between)
        if total is not None and (total[0] or 0) > bytes_max:
            last = cut(await snapshot.all(SIZES_OF_LINES, **between), after_seq + 1, last, bytes_max)
    rows = await snapshot.all(LINES_AFTER, run_id=run_id, after_seq=after_seq, limit=last - after_seq)
    return [line_record(row) for row in rows]


def line_record(row: Any) -> LineRecord:
    seq, ts, level, event, node, step, attempt, message, data = row[-9:]
    return LineRecord(seq, shown(ts) or "", level, event, node, step, attempt, message, data)
