"""Verbs on graphs: content-addressed and immutable, so adding one twice is adding it once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import select, tuple_

from service.core.errors import Invalid, NotFound
from service.core.graph import Graph
from service.store.database.clock import shown
from service.store.database.reader import Reader
from service.store.database.statements import Statement, every_column
from service.store.database.transaction import Transaction
from service.store.database.writer import Writer
from service.store.rows.records import GraphRecord, Page
from service.store.schema.models import graphs

IDS_AT_ONCE = 1000
"""Parameters of one statement: databases bound them."""

_ADD = Statement(
    lambda insert: insert(graphs).values(every_column(graphs)).on_conflict_do_nothing().returning(graphs.c.id)
)


class Graphs:
    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def add(self, graph: Graph, *, within_s: float | None = None) -> bool:
        """Store `graph`; whether it is new."""

        def verb(transaction: Transaction) -> bool:
            added = transaction.one(
                _ADD,
                id=graph.id,
                name=graph.name,
                start_node=graph.start_node,
                definition=graph.text,
                created_at=transaction.moment.text(),
            )
            if added is None:
                transaction.confirm()
            return added is not None

        return await self._writer.write(verb, touching=(graph.id,), within_s=within_s)

    async def get(self, graph_id: str) -> GraphRecord:
        async with self._reader.snapshot() as snapshot:
            row = await snapshot.one(select(graphs).where(graphs.c.id == graph_id))
        if row is None:
            raise NotFound("graph", graph_id)
        return _record(row, row.definition)

    async def known(self, graph_ids: Collection[str]) -> set[str]:
        """Those of `graph_ids` that are ids of graphs."""
        asked = sorted(graph_ids)
        found: set[str] = set()
        async with self._reader.snapshot() as snapshot:
            for first in range(0, len(asked), IDS_AT_ONCE):
                some = asked[first : first + IDS_AT_ONCE]
                found |= {row.id for row in await snapshot.all(select(graphs.c.id).where(graphs.c.id.in_(some)))}
        return found

    async def page(self, limit: int, cursor: str | None = None) -> Page:
        """The newest first. The cursor is the id of the last graph seen; Invalid where it is none."""
        query = (
            select(graphs.c.id, graphs.c.name, graphs.c.created_at)
            .order_by(graphs.c.created_at.desc(), graphs.c.id.desc())
            .limit(limit + 1)
        )
        async with self._reader.snapshot() as snapshot:
            if cursor is not None:
                last = await snapshot.one(select(graphs.c.created_at, graphs.c.id).where(graphs.c.id == cursor))
                if last is None:
                    raise Invalid.at("/cursor", "a cursor is one that an earlier page gave")
                query = query.where(tuple_(graphs.c.created_at, graphs.c.id) < tuple_(*last))
            rows = await snapshot.all(query)
        return page_of([_record(row) for row in rows], limit, lambda record: record.graph_id)


def page_of(items: list[Any], limit: int, cursor_of: Any) -> Page:
    """A page of `limit` items out of up to one more, which tells that there are more."""
    kept = tuple(items[:limit])
    return Page(kept, cursor_of(kept[-1]) if len(items) > limit else None)


def _record(row: Any, definition: str | None = None) -> GraphRecord:
    return GraphRecord(row.id, row.name, shown(row.created_at) or "", definition)
