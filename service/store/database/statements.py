"""Statements: SQLAlchemy expressions, each compiled once into the text that the writer executes on a raw cursor.

`Statement` takes one row of parameters, by name; `ForRows` takes many rows at once. `tests/store/statements` shows the
text of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from types import SimpleNamespace
from typing import Any

from sqlalchemy import ClauseElement, Column, Table, bindparam, column, literal_column, table
from sqlalchemy.engine import Dialect


@cache
def _dialect(name: str) -> Dialect:
    """Return a dialect. Import it for its first statement: a server uses one dialect, and each is slow to import."""
    if name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.dialect(paramstyle="named")
    from sqlalchemy.dialects import postgresql

    return postgresql.dialect(paramstyle="pyformat")  # type: ignore[no-untyped-call]  # untyped there


def insert_of(dialect: str) -> Any:
    """Return the dialect's own `insert`. ON CONFLICT is not standard SQL, but both dialects have its methods."""
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert
    from sqlalchemy.dialects.postgresql import insert

    return insert


class Statement:
    """One expression, compiled for each dialect that asks for it.

    An expression with ON CONFLICT is passed as a function of the dialect's own `insert`.
    """

    def __init__(self, expression: ClauseElement | Callable[[Any], ClauseElement]) -> None:
        self._expression = expression
        self._compiled: dict[str, tuple[str, dict[str, Any]]] = {}

    def text(self, dialect: str) -> tuple[str, dict[str, Any]]:
        """Return the text, and the parameters whose values the expression itself fixes."""
        found = self._compiled.get(dialect)
        if found is None:
            expression = self._expression
            if not isinstance(expression, ClauseElement):
                expression = expression(insert_of(dialect))
            compiled = expression.compile(dialect=_dialect(dialect))
            fixed = {name: value for name, value in compiled.params.items() if value is not None}
            found = self._compiled[dialect] = (str(compiled), fixed)
        return found


class ForRows:
    """One statement for many rows of parameters, executed in one round trip or one call of SQLite.

    `build` returns the statement; its argument has an attribute for each parameter. `columns` give the parameters'
    names and types. `Transaction.each` executes it. For example::

        _FORGET = ForRows(
            lambda row: delete(waits).where(waits.c.run_id.in_(select(row.run_id))), run_id=waits.c.run_id
        )

    becomes for one row, whose parameters are bound by name::

        DELETE FROM waits WHERE waits.run_id IN (SELECT :run_id)

    for two rows on SQLite, with parameters by position::

        WITH input_rows (run_id) AS (VALUES (?), (?))
        DELETE FROM waits WHERE waits.run_id IN (SELECT input_rows.run_id FROM input_rows)

    and for any number of rows on PostgreSQL, with one array for each parameter::

        WITH input_rows (run_id) AS (SELECT unnest(%(run_id)s::TEXT[])) DELETE FROM waits WHERE …

    `tests/store/statements` shows what becomes of each.
    """

    def __init__(self, build: Callable[[Any], Any], **columns: Column[Any]) -> None:
        self._build = build
        self.columns = columns
        self.text = cache(self._text)

    def _text(self, dialect: str, count: int | None) -> str:
        """Return the text for `count` rows. None means any number, on PostgreSQL."""
        if count == 1:
            row: Any = SimpleNamespace(**{name: bindparam(name, type_=of.type) for name, of in self.columns.items()})
            return str(self._build(row).compile(dialect=_dialect(dialect)))
        row = table("input_rows", *(column(name, of.type) for name, of in self.columns.items())).c
        statement = str(self._build(row).compile(dialect=_dialect(dialect)))
        rows = f"input_rows ({', '.join(self.columns)}) AS ({_rows_of_parameters(self.columns, dialect, count)})"
        if statement.startswith(recursive := "WITH RECURSIVE "):
            return f"{recursive}{rows}, {statement.removeprefix(recursive)}"
        return f"WITH {rows} {statement}"


@cache
def insert_into(into: Table, dialect: str, count: int | None) -> str:
    """Return the INSERT of `count` rows, with parameters by position. None: of any number, as an array per column."""
    mark = "?" if dialect == "sqlite" else "%s"
    if count is None:
        rows = f"SELECT {', '.join(f'unnest({mark}::{_plain_type(column)}[])' for column in into.c)}"
    else:
        row = f"({', '.join([mark] * len(into.c))})"
        rows = f"VALUES {', '.join([row] * count)}"
    return f"INSERT INTO {into.name} ({', '.join(into.c.keys())}) {rows}"


def _rows_of_parameters(columns: Mapping[str, Column[Any]], dialect: str, count: int | None) -> str:
    """Return a query for rows of parameters: one row by name, several by position, any number (None) as arrays.

    On PostgreSQL a text for each number of rows would have to be planned each time. SQLite gets only a few numbers of
    rows, and prepares their texts. psycopg's executemany is no alternative: its pipeline keeps PostgreSQL from ending a
    transaction that a server has left open.
    """
    if count is None:
        arrays = (f"unnest(%({name})s::{_plain_type(of)}[])" for name, of in columns.items())
        return f"SELECT {', '.join(arrays)}"
    if count == 1:
        return f"VALUES ({', '.join(_mark(name, dialect) for name in columns)})"
    row = f"({', '.join('?' * len(columns))})"
    return f"VALUES {', '.join([row] * count)}"


def array_of(values: Sequence[Any]) -> str:
    """Return PostgreSQL's text of an array. psycopg would inspect each element, which takes many times as long."""
    kinds = set(map(type, values))
    if kinds == {str}:
        return f"{{{_quoted(values)}}}"
    if kinds <= {int, float}:
        return f"{{{repr(values)[1:-1]}}}"
    return f"{{{','.join('NULL' if value is None else _quoted([str(value)]) for value in values)}}}"


def _quoted(texts: Sequence[str]) -> str:
    """Return `texts` quoted and joined by commas. A NUL, which none contains, separates them while they are escaped."""
    joined = "\0".join(texts)
    if joined.count("\0") != len(texts) - 1:
        raise ValueError("a text with a NUL")
    escaped = joined.replace("\\", "\\\\").replace('"', '\\"').replace("\0", '","')
    return f'"{escaped}"'


def _mark(name: str, dialect: str) -> str:
    return f":{name}" if dialect == "sqlite" else f"%({name})s"


def constant(value: int | StrEnum) -> Any:
    """Return `value` as a part of a statement's text. As a parameter it would be bound at each execution."""
    return literal_column(repr(value.value) if isinstance(value, StrEnum) else str(value))


def every_column(table: Table) -> dict[str, Any]:
    """Return a parameter for each column, with the column's name."""
    return {column.name: bindparam(column.name) for column in table.c}


def _plain_type(column: Column[Any]) -> str:
    """Return the column's type on PostgreSQL without its collation, which an array does not have."""
    return column.type.compile(_dialect("postgresql")).partition(" COLLATE")[0]
