"""Read one run."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select

from service.core.errors import NotFound
from service.core.state import State
from service.core.transitions import CLAIMABLE
from service.store.database.clock import shown
from service.store.database.reader import Reader
from service.store.database.statements import constant
from service.store.queries.log_lines import page_of_lines
from service.store.queries.whole_states import whole_state
from service.store.rows.records import Lease, LineRecord, RunRecord
from service.store.schema.kept import is_kept
from service.store.schema.models import runs

SHOWN = (
    *(runs.c.id, runs.c.graph_id, runs.c.status, runs.c.current_node, runs.c.step, runs.c.error, runs.c.tags),
    *(runs.c.created_at, runs.c.started_at, runs.c.finished_at, runs.c.last_seq),
    *(runs.c.parent_id, runs.c.parent_step, runs.c.forked_from_id, runs.c.forked_from_step),
    *(runs.c.schedule_name, runs.c.schedule_tick),
)
"""The columns that `run_record` reads."""

_RUN = select(*SHOWN).where(runs.c.id == bindparam("run_id"), is_kept())
_MOVING = (
    select(runs.c.id, runs.c.lease_owner, runs.c.lease_token)
    .where(runs.c.id > bindparam("run_id"), runs.c.status.in_([constant(status) for status in sorted(CLAIMABLE)]))
    .order_by(runs.c.id)
    .limit(bindparam("count"))
)


class RunQueries:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def get(self, run_id: str) -> RunRecord:
        """Return a run without its state and lines. Raise NotFound if there is no such run."""
        async with self._reader.snapshot() as snapshot:
            row = await snapshot.one(_RUN, run_id=run_id)
        if row is None:
            raise NotFound("run", run_id)
        return run_record(row)

    async def moving(self, after: str, limit: int) -> list[tuple[str, Lease | None]]:
        """Return the queued, running and waiting runs after the id `after`, by id, each with its lease or None."""
        async with self._reader.snapshot() as snapshot:
            rows = await snapshot.all(_MOVING, run_id=after, count=limit)
        return [(row.id, None if row.lease_owner is None else Lease(row.id, row.lease_token)) for row in rows]

    async def whole(self, run_id: str, after_seq: int, limit: int) -> tuple[RunRecord, State, list[LineRecord]]:
        """Return a run, its state and a page of its lines, all from one snapshot. Raise NotFound if there is none."""
        async with self._reader.snapshot() as snapshot:
            row = await snapshot.one(_RUN, run_id=run_id)
            if row is None:
                raise NotFound("run", run_id)
            state = await whole_state(snapshot, run_id, row.step)
            lines = await page_of_lines(snapshot, run_id, after_seq, row.last_seq, limit)
        return run_record(row), state, lines


def run_record(row: Any) -> RunRecord:
    """Return the record of a row that has the columns SHOWN."""
    return RunRecord(
        run_id=row.id,
        graph_id=row.graph_id,
        status=row.status,
        current_node=row.current_node,
        step=row.step,
        error=row.error,
        tags=row.tags,
        created_at=shown(row.created_at) or "",
        started_at=shown(row.started_at),
        finished_at=shown(row.finished_at),
        last_seq=row.last_seq,
        parent_id=row.parent_id,
        parent_step=row.parent_step,
        forked_from_id=row.forked_from_id,
        forked_from_step=row.forked_from_step,
        schedule_name=row.schedule_name,
        schedule_tick=shown(row.schedule_tick),
    )
