"""What a verb sees of the database, and the two kinds of verbs: one by one, or all that wait in one go."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Table

from service.store.clock import Moment
from service.store.sql import Each, Statement, insert_into

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741  # an item, beside the T that becomes of it


ROWS_MAX = 64
"""Rows in one statement of SQLite's. Fewer are halves of it, so that few texts stay prepared."""


@dataclass(slots=True)
class Transaction:
    """A cursor inside an open transaction, and the moment it is."""

    cursor: Any
    dialect: str
    moment: Moment
    woken: set[str] = field(default_factory=set)
    """Topics to notify once this is committed."""

    def execute(self, statement: Statement, **parameters: Any) -> Any:
        text, fixed = statement.text(self.dialect)
        return self.cursor.execute(text, fixed | parameters if fixed else parameters)

    def one(self, statement: Statement, **parameters: Any) -> Any:
        return self.execute(statement, **parameters).fetchone()

    def all(self, statement: Statement, **parameters: Any) -> list[Any]:
        return list(self.execute(statement, **parameters).fetchall())

    def each(self, statement: Each, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Whatever `statement` returns for all of `rows`, in any order."""
        returned: list[Any] = []
        for part in self._parts(rows):
            text = statement.text(self.dialect, len(part))
            returned += self.cursor.execute(text, self._parameters(statement.columns, part)).fetchall()
        return returned

    def insert(self, into: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write `rows`, each with every column."""
        for part in self._parts(rows):
            text = insert_into(into, self.dialect, len(part))
            self.cursor.execute(text, self._parameters(into.c.keys(), part))

    def _parts(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
        """`rows` in as many parts as there are statements to run."""
        if self.dialect == "postgresql":
            if rows:
                yield rows
            return
        begin, size = 0, ROWS_MAX
        while begin < len(rows):
            while size > len(rows) - begin:
                size //= 2
            yield rows[begin : begin + size]
            begin += size

    def _parameters(self, columns: Collection[str], rows: Sequence[Mapping[str, Any]]) -> Any:
        if self.dialect == "postgresql":
            return {name: [row[name] for row in rows] for name in columns}
        return [row[name] for row in rows for name in columns]


Verb = Callable[[Transaction], T]
VerbOfMany = Callable[[Transaction, Sequence[I]], Sequence[T]]
"""Takes all items that wait for it at once; a result for each, in their order."""


def one_by_one(transaction: Transaction, verbs: Sequence[Verb[Any]]) -> list[Any]:
    """The VerbOfMany whose items are plain verbs."""
    return [verb(transaction) for verb in verbs]
