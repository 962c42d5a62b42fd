"""Read limits, with how many attempts count towards each and how many runs wait for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select

from service.core.errors import NotFound
from service.store.database.clock import shown
from service.store.database.reader import Reader
from service.store.rows.records import Page
from service.store.schema.views import limits_view

_ONE = select(limits_view).where(limits_view.c.name == bindparam("name"))
_PAGE = (
    select(limits_view)
    .where(limits_view.c.name > bindparam("after"))
    .order_by(limits_view.c.name)
    .limit(bindparam("count"))
)


@dataclass(frozen=True, slots=True)
class LimitRecord:
    name: str
    max: int
    per_s: float | None
    in_use: int
    """Attempts in progress; for a limit with a period, attempts that have begun within the period."""
    waiting: int
    created_at: str
    changed_at: str


class LimitQueries:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def get(self, name: str) -> LimitRecord:
        """Return a limit. Raise NotFound if there is none of that name."""
        async with self._reader.snapshot() as snapshot:
            row = await snapshot.one(_ONE, name=name)
        if row is None:
            raise NotFound("limit", name)
        return _record(row)

    async def page(self, count: int, after: str | None = None) -> Page:
        """Return LimitRecords in the order of their names. The cursor is the name of the last limit seen."""
        async with self._reader.snapshot() as snapshot:
            rows = await snapshot.all(_PAGE, after=after or "", count=count + 1)
        items = tuple(map(_record, rows[:count]))
        return Page(items, items[-1].name if len(rows) > count else None)


def _record(row: Any) -> LimitRecord:
    return LimitRecord(
        row.name,
        row.max,
        row.per_s,
        row.in_use,
        row.waiting,
        shown(row.created_at) or "",
        shown(row.changed_at) or "",
    )
