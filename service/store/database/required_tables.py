"""The tables, views and columns that the store's statements need, and what the database lacks of them.

This distinguishes a wrong statement, which is our own fault, from tables that somebody has dropped or hidden. A failed
statement and the readiness probe ask for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import TableClause, TextClause, text

from service.core.errors import Unavailable
from service.store.database.protocol import Database
from service.store.database.statements import Statement
from service.store.database.transaction import Transaction

logger = logging.getLogger(__name__)

NAMES_MAX = 3
"""The most names that a reason lists. If more are missing, it adds the number of the others."""

MissingColumn = Any
"""A row of `RequiredTables.query`: the table's name, and the column's name or None if the whole table is missing."""


class RequiredTables:
    """The tables that one database must have."""

    def __init__(self, database: Database, tables: Iterable[TableClause]) -> None:
        self._database = database
        self._obstacles: tuple[type[Exception], ...] = (OSError, *database.errors)
        wanted = ", ".join(f"('{table.name}', '{column.name}')" for table in tables for column in table.c)
        self.query: TextClause = text(database.missing_columns.format(wanted=wanted))
        """Selects a MissingColumn for each column that the database lacks."""
        self._statement = Statement(self.query)

    def find_missing(self, transaction: Transaction) -> Sequence[MissingColumn]:
        return transaction.all(self._statement)

    def refusal(self, error: BaseException, find_missing: Callable[[], Sequence[MissingColumn]]) -> BaseException:
        """Return the exception for the callers of a write that failed with `error`.

        It is Unavailable, or `error` itself if that is a fault of ours. `find_missing` executes `query`.
        """
        database = self._database
        if not isinstance(error, database.errors):
            return error
        reason = database.denial(error)
        if reason is None and database.may_lack(error):
            try:
                reason = self.describe(find_missing())
            except self._obstacles:
                reason = f"{database.name} lacks what it had"
            if reason is None:
                return error
        if reason is None and isinstance(error, database.bugs):
            return error
        logger.warning("a write failed: %s", reason or error)
        # The text of any other error of a database server names hosts, users and tables: clients must not see it.
        return Unavailable(reason or ("the database refused a write" if database.is_shared else str(error)))

    def describe(self, missing: Sequence[MissingColumn]) -> str | None:
        """Return a sentence that names the missing tables or columns, or None if nothing is missing."""
        tables = list(dict.fromkeys(name for name, column in missing if column is None))
        columns = [f"{name}.{column}" for name, column in missing if column is not None]
        if not tables and not columns:
            return None
        kind, names = ("table", tables) if tables else ("column", columns)
        more = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
        which = ", ".join(names[:NAMES_MAX]) + more
        return (
            f"{self._database.name} lacks the {kind}{'s' if len(names) > 1 else ''} {which}, or hides them from this"
            " server: bring them back, or start the server anew, which makes empty ones where there are none"
        )
