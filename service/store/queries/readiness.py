"""The readiness probe of the store's reads."""

from __future__ import annotations

from sqlalchemy import select

from service.core.errors import Unavailable
from service.store.database.reader import Reader
from service.store.database.required_tables import RequiredTables
from service.store.schema.models import changes, graphs, log_lines, runs, snapshots

_FIRST_ROW = {
    table.name: select(*table.primary_key.columns).limit(1) for table in (graphs, runs, changes, snapshots, log_lines)
}
"""The queries of the probe, by table: one for each table that every run uses."""


class Readiness:
    def __init__(self, reader: Reader, required: RequiredTables) -> None:
        self._reader = reader
        self._required = required

    async def probe(self) -> None:
        """Read a row of each table that every run uses. Raise Unavailable if that fails, or if anything is missing."""
        async with self._reader.snapshot() as snapshot:
            for first_row in _FIRST_ROW.values():
                await snapshot.all(first_row)
            missing = await snapshot.all(self._required.query)
        if (reason := self._required.describe(missing)) is not None:
            raise Unavailable(reason)
