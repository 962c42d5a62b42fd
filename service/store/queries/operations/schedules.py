"""Read schedules."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, func, select

from service.core.errors import NotFound
from service.core.operations.schedule import CatchUp, Overlap
from service.store.database.clock import shown
from service.store.database.reader import Reader
from service.store.queries.pages import cut
from service.store.rows.operations.schedules import Plan, ScheduleRecord, Stored
from service.store.rows.records import Page
from service.store.schema.kept import is_kept
from service.store.schema.models import runs
from service.store.schema.operations import schedules

_last_run = (
    select(runs.c.id).where(runs.c.id == schedules.c.last_run_id, is_kept()).correlate(schedules).scalar_subquery()
)
_COLUMNS = [column if column is not schedules.c.last_run_id else _last_run.label(column.name) for column in schedules.c]
SCHEDULE = select(*_COLUMNS).where(schedules.c.name == bindparam("name"))
SCHEDULES_AFTER = (
    select(*_COLUMNS).where(schedules.c.name > bindparam("after")).order_by(schedules.c.name).limit(bindparam("limit"))
)
SIZES_AFTER = (
    select(
        func.length(schedules.c.name)
        + func.coalesce(func.length(schedules.c.graph_name), 0)
        + func.length(schedules.c.state)
        + func.length(schedules.c.tags)
    )
    .where(schedules.c.name > bindparam("after"))
    .order_by(schedules.c.name)
    .limit(bindparam("limit"))
)
"""Parameters of these two: after, limit."""


class ScheduleQueries:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def get(self, name: str) -> ScheduleRecord:
        """Return a schedule. Raise NotFound if there is none of that name."""
        async with self._reader.snapshot() as snapshot:
            row = await snapshot.one(SCHEDULE, name=name)
        if row is None:
            raise NotFound("schedule", name)
        return _record(row)

    async def page(self, limit: int, cursor: str | None = None) -> Page:
        """Return schedules in the order of their names. The cursor is the name of the last one seen.

        A page ends early if they are large.
        """
        after = cursor or ""
        async with self._reader.snapshot() as snapshot:
            sizes = [size for (size,) in await snapshot.all(SIZES_AFTER, after=after, limit=limit + 1)]
            count = cut(enumerate(sizes[:limit], 1), 1, min(limit, len(sizes)))
            items = [_record(row) for row in await snapshot.all(SCHEDULES_AFTER, after=after, limit=count)]
        return Page(tuple(items), items[-1].name if len(sizes) > len(items) else None)


def _record(row: Any) -> ScheduleRecord:
    stored = Stored(*row)
    plan = Plan(
        stored.graph_id,
        stored.graph_name,
        stored.timetable,
        stored.state,
        stored.tags,
        Overlap(stored.overlap),
        CatchUp(stored.catch_up),
    )
    return ScheduleRecord(
        name=stored.name,
        plan=plan,
        is_paused=bool(stored.is_paused),
        next_at=None if stored.is_paused else shown(stored.next_at),
        last_at=shown(stored.last_at),
        skipped_at=shown(stored.skipped_at),
        last_run_id=stored.last_run_id,
        created_at=shown(stored.created_at) or "",
        updated_at=shown(stored.updated_at) or "",
    )
