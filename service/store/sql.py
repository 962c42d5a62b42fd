"""Statements compiled once: a SQLAlchemy expression in, text for the driver out.

The writer runs them on a raw cursor. Parameters are named, so a verb reads like the expression it owns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from sqlalchemy import ClauseElement, Column, Table, bindparam, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

_DIALECTS: dict[str, Dialect] = {
    "sqlite": sqlite.dialect(paramstyle="named"),
    "postgresql": postgresql.dialect(paramstyle="pyformat"),  # type: ignore[no-untyped-call]  # untyped there
}


# ON CONFLICT is no standard SQL: each dialect has an `insert` of its own for it, with the same methods.
_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Statement:
    """One expression, as text for each database that has asked for it.

    One with ON CONFLICT is given as a function of the dialect's own `insert`.
    """

    def __init__(self, expression: ClauseElement | Callable[[Any], ClauseElement]) -> None:
        self._expression = expression
        self._compiled: dict[str, tuple[str, dict[str, Any]]] = {}

    def text(self, dialect: str) -> tuple[str, dict[str, Any]]:
        """The text, and the parameters whose values the expression itself fixed."""
        found = self._compiled.get(dialect)
        if found is None:
            expression = self._expression
            if not isinstance(expression, ClauseElement):
                expression = expression(_INSERTS[dialect])
            compiled = expression.compile(dialect=_DIALECTS[dialect])
            fixed = {name: value for name, value in compiled.params.items() if value is not None}
            found = self._compiled[dialect] = (str(compiled), fixed)
        return found


def every_column(table: Table) -> dict[str, Any]:
    """A parameter for each column, of its name."""
    return {column.name: bindparam(column.name) for column in table.c}


@cache
def insert_into(table: Table, dialect: str, *, many: bool) -> str:
    """The text that writes one row, every column given, or `many`: as an array for each column on PostgreSQL.

    Differs from SQLite, which runs the one text again and again, because each time is a round trip here. Not
    psycopg's executemany either, whose pipeline keeps PostgreSQL from ending a transaction that a server left open.
    """
    if many and dialect == "postgresql":
        names = ", ".join(column.name for column in table.c)
        arrays = ", ".join(f"unnest(%({column.name})s::{_plain_type(column)}[])" for column in table.c)
        return f"INSERT INTO {table.name} ({names}) SELECT {arrays}"
    return str(insert(table).values(every_column(table)).compile(dialect=_DIALECTS[dialect]))


def _plain_type(column: Column[Any]) -> str:
    """Its type on PostgreSQL as it is in an array, which has no collation."""
    return column.type.compile(_DIALECTS["postgresql"]).partition(" COLLATE")[0]
