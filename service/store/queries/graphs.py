"""Read graphs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import bindparam, func, select, tuple_

from service.core.errors import Invalid, NotFound
from service.store.database.clock import shown
from service.store.database.reader import Reader
from service.store.queries.pages import cut
from service.store.queries.runs.filter import is_named
from service.store.rows.records import GraphRecord, Page
from service.store.schema.models import NAME_CHARS_INDEXED, graphs

IDS_AT_ONCE = 1000
"""The most ids in one statement, because databases limit the number of parameters."""

_GRAPH = select(graphs).where(graphs.c.id == bindparam("graph_id"))
_KNOWN = select(graphs.c.id).where(graphs.c.id.in_(bindparam("graph_ids", expanding=True)))


LATEST = func.coalesce(graphs.c.posted_again_at, graphs.c.created_at)
"""When a graph last became the latest of its name. The index `graphs_latest` contains this expression."""


def _newest(*columns: Any) -> Any:
    return select(*columns).order_by(graphs.c.created_at.desc(), graphs.c.id.desc()).limit(bindparam("limit"))


_SHOWN = (graphs.c.id, graphs.c.name, graphs.c.created_at)
_SIZES = (graphs.c.id, func.length(graphs.c.name).label("length"))
_PLACE = select(graphs.c.created_at, graphs.c.id).where(graphs.c.id == bindparam("graph_id"))
_BEFORE = tuple_(graphs.c.created_at, graphs.c.id) < tuple_(bindparam("created_at"), bindparam("graph_id"))
NEWEST = _newest(*_SHOWN)
NEWEST_BEFORE = _newest(*_SHOWN).where(_BEFORE)
NEWEST_NAMES = _newest(func.substr(graphs.c.name, 1, NAME_CHARS_INDEXED).label("name"))
SIZES_OF_NEWEST = _newest(*_SIZES)
SIZES_OF_NEWEST_BEFORE = _newest(*_SIZES).where(_BEFORE)
"""Parameters of these five: limit; those with BEFORE also take the created_at and graph_id of the last graph seen."""


def latest_named(name: str) -> Any:
    """Select the id of the graph of that name that was posted last."""
    return select(graphs.c.id).where(is_named(name)).order_by(LATEST.desc(), graphs.c.id.desc()).limit(1)


class GraphQueries:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def get(self, graph_id: str) -> GraphRecord:
        """Return a graph with its definition. Raise NotFound if there is no such graph."""
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

    async def latest(self, names: Collection[str]) -> dict[str, str]:
        """Return, for each of `names` that a graph has, the id of the graph of that name that was posted last."""
        found: dict[str, str] = {}
        if names:
            async with self._reader.snapshot() as snapshot:
                for name in sorted(names):
                    row = await snapshot.one(latest_named(name))
                    if row is not None:
                        found[name] = row.id
        return found

    async def newest_names(self, count: int) -> list[str]:
        """Return the names of the newest `count` graphs, each name once and cut to NAME_CHARS_INDEXED, newest first."""
        async with self._reader.snapshot() as snapshot:
            return list(dict.fromkeys([row.name for row in await snapshot.all(NEWEST_NAMES, limit=count)]))

    async def page(self, limit: int, cursor: str | None = None) -> Page:
        """Return graphs, newest first. The cursor is the id of the last graph seen. Raise Invalid if no graph has it.

        A page ends early if the names are large.
        """
        async with self._reader.snapshot() as snapshot:
            sizes_query, query, place = SIZES_OF_NEWEST, NEWEST, {}
            if cursor is not None:
                last = await snapshot.one(_PLACE, graph_id=cursor)
                if last is None:
                    raise Invalid.at("/cursor", "must be the `next_cursor` of an earlier page")
                sizes_query, query = SIZES_OF_NEWEST_BEFORE, NEWEST_BEFORE
                place = {"created_at": last.created_at, "graph_id": last.id}
            sizes = [row.length for row in await snapshot.all(sizes_query, **place, limit=limit + 1)]
            count = cut(enumerate(sizes[:limit], 1), 1, min(limit, len(sizes)))
            items = [_record(row) for row in await snapshot.all(query, **place, limit=count)]
        return Page(tuple(items), items[-1].graph_id if len(sizes) > len(items) else None)


def _record(row: Any, definition: str | None = None) -> GraphRecord:
    return GraphRecord(row.id, row.name, shown(row.created_at) or "", definition)
