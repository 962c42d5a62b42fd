"""Read log lines that match a filter, in either order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select

from service.core.errors import NotFound
from service.core.run import Level
from service.store.database.reader import Reader
from service.store.queries.log_lines import line_record
from service.store.queries.pages import PAGE_BYTES_MAX
from service.store.rows.records import LineRecord
from service.store.schema.kept import is_kept
from service.store.schema.models import log_lines, runs

_LEVELS = (Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR)
_LAST_SEQ = select(runs.c.last_seq).where(runs.c.id == bindparam("run_id"), is_kept())


@dataclass(frozen=True, slots=True)
class LineFilter:
    """Which lines of a run to select. A field that is None excludes no line."""

    after_seq: int = 0
    before_seq: int | None = None
    """Exclusive. If it is given, lines are read newest first."""
    level: Level | None = None
    """The lowest level."""
    node: str | None = None
    text: str | None = None
    """A text that the message contains."""


def lines_found(which: LineFilter, dialect: str, *columns: Any) -> Any:
    """Select lines in order. Parameters: run_id and count."""
    query = select(*columns).where(log_lines.c.run_id == bindparam("run_id"), log_lines.c.seq > which.after_seq)
    if which.before_seq is not None:
        query = query.where(log_lines.c.seq < which.before_seq)
    if which.level is not None:
        query = query.where(log_lines.c.level.in_([level.value for level in _LEVELS[_LEVELS.index(which.level) :]]))
    if which.node is not None:
        query = query.where(log_lines.c.node == which.node)
    if which.text is not None:
        find = func.instr if dialect == "sqlite" else func.strpos
        query = query.where(find(log_lines.c.message, which.text) > 0)
    order = log_lines.c.seq if which.before_seq is None else log_lines.c.seq.desc()
    return query.order_by(order).limit(bindparam("count"))


async def find_lines(reader: Reader, run_id: str, which: LineFilter, limit: int) -> tuple[list[LineRecord], int]:
    """Return the first lines that match, and the run's last `seq`. Raise NotFound if there is no such run.

    There are fewer than `limit` lines if no more match, or if they are large.
    """
    size = func.length(log_lines.c.message) + func.length(log_lines.c.data)
    async with reader.snapshot() as snapshot:
        run = await snapshot.one(_LAST_SEQ, run_id=run_id)
        if run is None:
            raise NotFound("run", run_id)
        measured = lines_found(which, snapshot.dialect, log_lines.c.seq, size.label("length"))
        count, room = 0, PAGE_BYTES_MAX
        for row in await snapshot.all(measured, run_id=run_id, count=limit):
            room -= row.length
            if count and room < 0:
                break
            count += 1
        rows = await snapshot.all(lines_found(which, snapshot.dialect, log_lines), run_id=run_id, count=count)
    return [line_record(row) for row in rows], run.last_seq
