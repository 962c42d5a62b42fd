"""Add a graph. Its id derives from its content, so adding it twice adds it once.

A graph that is added again is the latest of its name again.
"""

from __future__ import annotations

from sqlalchemy import text

from service.core.graph import Graph
from service.store.database.statements import Statement, every_column
from service.store.database.transaction import Transaction
from service.store.database.writing.writer import Writer
from service.store.schema.models import NAME_CHARS_INDEXED, graphs

_ADD = Statement(
    lambda insert: insert(graphs).values(every_column(graphs)).on_conflict_do_nothing().returning(graphs.c.id)
)
# Writes only if another graph of the same name was posted since.
_ADD_AGAIN = Statement(
    text(
        "UPDATE graphs SET posted_again_at = :now WHERE id = :id AND id <> (SELECT id FROM graphs"
        " WHERE substr(name, 1, 200) = :beginning AND name || '' = :name"
        " ORDER BY coalesce(posted_again_at, created_at) DESC, id DESC LIMIT 1) RETURNING id"
    )
)


class GraphCommands:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def add(self, graph: Graph, *, within_s: float | None = None) -> bool:
        """Store `graph`, as the latest of its name, and return whether it is new."""

        def add(transaction: Transaction) -> bool:
            added = transaction.one(
                _ADD,
                id=graph.id,
                name=graph.name,
                start_node=graph.start_node,
                definition=graph.text,
                created_at=transaction.moment.text(),
                posted_again_at=None,
            )
            if added is None and not _add_again(transaction, graph):
                transaction.confirm()
            return added is not None

        return await self._writer.write(add, touches=(graph.id,), within_s=within_s)


def _add_again(transaction: Transaction, graph: Graph) -> bool:
    """Make a stored graph the latest of its name. Return False if it was already, or if its name is empty."""
    if not graph.name:
        return False
    now = transaction.moment.text()
    beginning = graph.name[:NAME_CHARS_INDEXED]
    return transaction.one(_ADD_AGAIN, id=graph.id, name=graph.name, beginning=beginning, now=now) is not None
