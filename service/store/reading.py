"""Queries for the terminal, without the store's commands: a process that only reads then starts in half the time."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from service.store.database.protocol import Database
from service.store.database.reader import Reader
from service.store.database.required_tables import RequiredTables
from service.store.queries.log_lines import LogQueries
from service.store.queries.runs.listing import RunListQueries
from service.store.queries.runs.one import RunQueries
from service.store.schema.required import REQUIRED

if TYPE_CHECKING:
    from service.store.queries.graphs import GraphQueries
    from service.store.queries.history import History


class Reading:
    """Queries by subject, over a pool of readers."""

    def __init__(self, database: Database) -> None:
        self._reader = Reader(database, RequiredTables(database, REQUIRED))
        self.runs = RunQueries(self._reader)
        self.lists = RunListQueries(self._reader)
        self.logs = LogQueries(self._reader)

    @cached_property
    def graphs(self) -> GraphQueries:
        from service.store.queries.graphs import GraphQueries

        return GraphQueries(self._reader)

    @cached_property
    def history(self) -> History:
        from service.store.queries.history import History  # imports the graph's types, which few commands need

        return History(self._reader)

    async def close(self) -> None:
        await self._reader.close()
