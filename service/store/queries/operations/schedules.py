"""Read schedules."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import bindparam, func, select

from service.core.errors import NotFound
from service.core.operations.schedule import CatchUp, Overlap
from service.store.database.clock import shown
from service.store.database.reader import Reader, Snapshot
from service.store.queries.pages import cut
from service.store.rows.operations.schedules import Plan, ScheduleRecord, Stored
from service.store.rows.records import Page
from service.store.schema.kept import is_kept
from service.store.schema.models import runs
from service.store.schema.operations import schedules

SCHEDULE = select(schedules).where(schedules.c.name == bindparam("name"))
SCHEDULES_AFTER = (
    select(schedules).where(schedules.c.name > bindparam("after")).order_by(schedules.c.name).limit(bindparam("limit"))
)
KEPT_RUNS = select(runs.c.id).where(runs.c.id.in_(bindparam("run_ids", expanding=True)), is_kept())
"""The runs among `run_ids` that exist and are not being deleted.

This is a separate query, so that a lock on the table of runs holds up only schedules that have started a run.
"""
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
"""The lengths of schedules, for a page of SCHEDULES_AFTER. Parameters of both: after, limit."""


class ScheduleQueries:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def get(self, name: str) -> ScheduleRecord:
        """Return a schedule. Raise NotFound if there is none of that name."""
        async with self._reader.snapshot() as snapshot:
            row = await snapshot.one(SCHEDULE, name=name)
            if row is None:
                raise NotFound("schedule", name)
            (record,) = await _records(snapshot, [row])
        return record

    async def page(self, limit: int, cursor: str | None = None) -> Page:
        """Return schedules in the order of their names. The cursor is the name of the last one seen.

        A page ends early if they are large.
        """
        after = cursor or ""
        async with self._reader.snapshot() as snapshot:
            sizes = [size for (size,) in await snapshot.all(SIZES_AFTER, after=after, limit=limit + 1)]
            count = cut(enumerate(sizes[:limit], 1), 1, min(limit, len(sizes)))
            items = await _records(snapshot, await snapshot.all(SCHEDULES_AFTER, after=after, limit=count))
        return Page(tuple(items), items[-1].name if len(sizes) > len(items) else None)


async def _records(snapshot: Snapshot, rows: Sequence[Any]) -> list[ScheduleRecord]:
    """Return the records of schedules. `last_run_id` is None if that run was deleted or is being deleted."""
    run_ids = [row.last_run_id for row in rows if row.last_run_id is not None]
    kept = {run_id for (run_id,) in await snapshot.all(KEPT_RUNS, run_ids=run_ids)} if run_ids else set()
    return [_record(Stored(*row), kept) for row in rows]


def _record(stored: Stored, kept: Collection[str]) -> ScheduleRecord:
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
        last_run_id=stored.last_run_id if stored.last_run_id in kept else None,
        created_at=shown(stored.created_at) or "",
        updated_at=shown(stored.updated_at) or "",
    )
