"""Read graphs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import bindparam, select, tuple_

from service.core.errors import Invalid, NotFound
from service.store.database.clock import shown
from service.store.database.reader import Reader
from service.store.queries.pages import page_of
from service.store.rows.records import GraphRecord, Page
from service.store.schema.models import graphs

IDS_AT_ONCE = 1000
"""Parameters of one statement; databases limit their number."""

_GRAPH = select(graphs).where(graphs.c.id == bindparam("graph_id"))
_KNOWN = select(graphs.c.id).where(graphs.c.id.in_(bindparam("graph_ids", expanding=True)))
_NEWEST = (
    select(graphs.c.id, graphs.c.name, graphs.c.created_at)
    .order_by(graphs.c.created_at.desc(), graphs.c.id.desc())
    .limit(bindparam("limit"))
)
_PLACE = select(graphs.c.created_at, graphs.c.id).where(graphs.c.id == bindparam("graph_id"))
_NEWEST_BEFORE = _NEWEST.where(
    tuple_(graphs.c.created_at, graphs.c.id) < tuple_(bindparam("created_at"), bindparam("graph_id"))
)


class GraphQueries:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def get(self, graph_id: str) -> GraphRecord:
        """Return a graph with its definition. Raises NotFound."""
        async with self._reader.snapshot() as snapshot:
            row = await snapshot.one(_GRAPH, graph_id=graph_id)
        if row is None:
            raise NotFound("graph", graph_id)
        return _record(row, row.definition)

    async def known(self, graph_ids: Collection[str]) -> set[str]:
        """Return those of `graph_ids` that exist."""
        asked = sorted(graph_ids)
        found: set[str] = set()
        async with self._reader.snapshot() as snapshot:
            for first in range(0, len(asked), IDS_AT_ONCE):
                rows = await snapshot.all(_KNOWN, graph_ids=asked[first : first + IDS_AT_ONCE])
                found |= {row.id for row in rows}
        return found

    async def page(self, limit: int, cursor: str | None = None) -> Page:
        """Return graphs, newest first. The cursor is the id of the last graph seen; Invalid if no graph has it."""
        async with self._reader.snapshot() as snapshot:
            if cursor is None:
                rows = await snapshot.all(_NEWEST, limit=limit + 1)
            else:
                last = await snapshot.one(_PLACE, graph_id=cursor)
                if last is None:
                    raise Invalid.at("/cursor", "a cursor is one that an earlier page gave")
                place = {"created_at": last.created_at, "graph_id": last.id}
                rows = await snapshot.all(_NEWEST_BEFORE, **place, limit=limit + 1)
        return page_of([_record(row) for row in rows], limit, lambda record: record.graph_id)


def _record(row: Any, definition: str | None = None) -> GraphRecord:
    return GraphRecord(row.id, row.name, shown(row.created_at) or "", definition)
