"""Add a graph. Its id derives from its content, so adding it twice adds it once."""

from __future__ import annotations

from service.core.graph import Graph
from service.store.database.statements import Statement, every_column
from service.store.database.transaction import Transaction
from service.store.database.writer import Writer
from service.store.schema.models import graphs

_ADD = Statement(
    lambda insert: insert(graphs).values(every_column(graphs)).on_conflict_do_nothing().returning(graphs.c.id)
)


class GraphCommands:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def add(self, graph: Graph, *, within_s: float | None = None) -> bool:
        """Store `graph` and return whether it is new."""

        def add(transaction: Transaction) -> bool:
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

        return await self._writer.write(add, touches=(graph.id,), within_s=within_s)
