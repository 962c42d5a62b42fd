"""Read the deliveries of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select

from service.core.errors import NotFound
from service.store.database.clock import shown
from service.store.database.reader import Reader
from service.store.queries.pages import page_of
from service.store.rows.records import Page
from service.store.schema.kept import is_kept
from service.store.schema.models import runs
from service.store.schema.operations import deliveries

_EXISTS = select(runs.c.id).where(runs.c.id == bindparam("run_id"), is_kept())
DELIVERIES_AFTER = (
    select(
        *(deliveries.c.number, deliveries.c.event, deliveries.c.state, deliveries.c.attempts, deliveries.c.due_at),
        *(deliveries.c.last_status, deliveries.c.last_error, deliveries.c.created_at, deliveries.c.finished_at),
    )
    .where(deliveries.c.run_id == bindparam("run_id"), deliveries.c.number > bindparam("after"))
    .order_by(deliveries.c.number)
    .limit(bindparam("limit"))
)


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """A delivery without its payload."""

    number: int
    event: str
    state: str
    attempts: int
    due_at: str | None
    last_status: int | None
    last_error: str | None
    created_at: str
    finished_at: str | None


class DeliveryQueries:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def page(self, run_id: str, after: int, limit: int) -> Page:
        """Return the run's deliveries after the number `after`, in order. Raise NotFound if there is no such run."""
        async with self._reader.snapshot() as snapshot:
            if await snapshot.one(_EXISTS, run_id=run_id) is None:
                raise NotFound("run", run_id)
            rows = await snapshot.all(DELIVERIES_AFTER, run_id=run_id, after=after, limit=limit + 1)
        return page_of([_record(row) for row in rows], limit, lambda last: last.number)


def _record(row: Any) -> DeliveryRecord:
    return DeliveryRecord(
        number=row.number,
        event=row.event,
        state=row.state,
        attempts=row.attempts,
        due_at=shown(row.due_at),
        last_status=row.last_status,
        last_error=row.last_error,
        created_at=shown(row.created_at) or "",
        finished_at=shown(row.finished_at),
    )
