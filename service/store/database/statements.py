"""Statements compiled once: a SQLAlchemy expression in, text for the driver out.

The writer runs them on a raw cursor. Parameters are named, so a verb reads like the expression it owns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from types import SimpleNamespace
from typing import Any

from sqlalchemy import ClauseElement, Column, Table, bindparam, column, literal_column, table
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


class Each:
    """One statement for many rows of parameters in one go: a single round trip, or a single call of SQLite's.

    `build` makes it of `given`, whose attributes are the parameters; `columns` say of what type they are.
    """

    def __init__(self, build: Callable[[Any], Any], **columns: Column[Any]) -> None:
        self._build = build
        self.columns = columns
        self.text = cache(self._text)

    def _text(self, dialect: str, count: int | None) -> str:
        """For `count` rows (None: any number); the parameters are those of `_rows_of_parameters`."""
        if count == 1:
            given: Any = SimpleNamespace(**{name: bindparam(name, type_=of.type) for name, of in self.columns.items()})
            return str(self._build(given).compile(dialect=_DIALECTS[dialect]))
        given = table("given", *(column(name, of.type) for name, of in self.columns.items())).c
        statement = str(self._build(given).compile(dialect=_DIALECTS[dialect]))
        rows = f"given ({', '.join(self.columns)}) AS ({_rows_of_parameters(self.columns, dialect, count)})"
        if statement.startswith(recursive := "WITH RECURSIVE "):
            return f"{recursive}{rows}, {statement.removeprefix(recursive)}"
        return f"WITH {rows} {statement}"


@cache
def insert_into(into: Table, dialect: str, count: int | None) -> str:
    """The text that writes `count` rows (None: any number, as an array for each column), every column by position."""
    mark = "?" if dialect == "sqlite" else "%s"
    if count is None:
        rows = f"SELECT {', '.join(f'unnest({mark}::{_plain_type(column)}[])' for column in into.c)}"
    else:
        row = f"({', '.join([mark] * len(into.c))})"
        rows = f"VALUES {', '.join([row] * count)}"
    return f"INSERT INTO {into.name} ({', '.join(into.c.keys())}) {rows}"


def _rows_of_parameters(columns: Mapping[str, Column[Any]], dialect: str, count: int | None) -> str:
    """A query for rows of parameters: one by name, several by position, any number as an array for each column.

    Differs from SQLite, where a few numbers of rows are prepared, because each would be planned anew there. And it
    is not psycopg's executemany, whose pipeline keeps PostgreSQL from ending a transaction that a server left open.
    """
    if count is None:
        arrays = (f"unnest(%({name})s::{_plain_type(of)}[])" for name, of in columns.items())
        return f"SELECT {', '.join(arrays)}"
    if count == 1:
        return f"VALUES ({', '.join(_mark(name, dialect) for name in columns)})"
    row = f"({', '.join('?' * len(columns))})"
    return f"VALUES {', '.join([row] * count)}"


def array_of(values: Sequence[Any]) -> str:
    """PostgreSQL's text of an array; psycopg, which asks each element what it is, takes many times as long."""
    kinds = set(map(type, values))
    if kinds == {str}:
        return f"{{{_quoted(values)}}}"
    if kinds <= {int, float}:
        return f"{{{repr(values)[1:-1]}}}"
    return f"{{{','.join('NULL' if value is None else _quoted([str(value)]) for value in values)}}}"


def _quoted(texts: Sequence[str]) -> str:
    """All at once, parted by what no text of PostgreSQL's holds."""
    joined = "\0".join(texts)
    if joined.count("\0") != len(texts) - 1:
        raise ValueError("a text with a NUL")
    escaped = joined.replace("\\", "\\\\").replace('"', '\\"').replace("\0", '","')
    return f'"{escaped}"'


def _mark(name: str, dialect: str) -> str:
    return f":{name}" if dialect == "sqlite" else f"%({name})s"


def constant(value: int | StrEnum) -> Any:
    """`value` as a part of the text: a parameter would be given anew each time."""
    return literal_column(repr(value.value) if isinstance(value, StrEnum) else str(value))


def every_column(table: Table) -> dict[str, Any]:
    """A parameter for each column, of its name."""
    return {column.name: bindparam(column.name) for column in table.c}


def _plain_type(column: Column[Any]) -> str:
    """Its type on PostgreSQL as it is in an array, which has no collation."""
    return column.type.compile(_DIALECTS["postgresql"]).partition(" COLLATE")[0]
