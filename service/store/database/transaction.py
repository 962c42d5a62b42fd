"""What a verb sees of the database, and the two kinds of verbs: one by one, or all that wait in one go."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Table

from service.store.database.clock import Moment
from service.store.database.statements import ForRows, Statement, array_of, insert_into
from service.store.database.timeline import Timeline

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741  # an item, beside the T that becomes of it

Row = Mapping[str, Any]
ROWS_MAX = 64
"""Rows in one statement of SQLite's. Fewer are halves of it, so that few texts stay prepared."""


@dataclass(slots=True)
class Transaction:
    """A cursor inside an open transaction, and the moment it is."""

    cursor: Any
    dialect: str
    moment: Moment
    timeline: Timeline | None = None
    woken: set[str] = field(default_factory=set)
    """Topics to notify once this is committed."""
    inserts: list[tuple[str, list[Any]]] = field(default_factory=list)
    """What is still to be written, since nothing has asked for it: just before the COMMIT, together on PostgreSQL."""
    is_lock: Callable[[BaseException], bool] = lambda _: False
    """Whether an error is somebody else's lock."""
    has_savepoints: bool = False
    """Whether commands go on without what is locked, by `unless_locked`."""
    has_met_lock: bool = False

    def unless_locked(self, do: Callable[[], T]) -> T | None:
        """What `do` gives. None where it has met a lock: what it did is undone then, and the transaction goes on."""
        self._write_inserts()
        self.cursor.execute("SAVEPOINT before")
        try:
            result = do()
            self._write_inserts()
        except Exception as error:
            if not self.is_lock(error):
                raise
            self.has_met_lock = True
            self.inserts.clear()
            self.cursor.execute("ROLLBACK TO SAVEPOINT before")
            return None
        self.cursor.execute("RELEASE SAVEPOINT before")
        return result

    def lock_table(self, name: str, mode: str) -> None:
        """Lock a table in a mode of PostgreSQL's, or raise at once if somebody has locked it.

        On SQLite a transaction that writes has locked the whole file.
        """
        if self.dialect == "postgresql":
            self._execute(f"LOCK TABLE {name} IN {mode} MODE NOWAIT", None)

    def execute(self, statement: Statement, **parameters: Any) -> Any:
        text, fixed = statement.text(self.dialect)
        return self._execute(text, fixed | parameters if fixed else parameters)

    def reach(self, stored: Any) -> None:
        """It is no earlier than `stored`, a time that some server has written."""
        if self.timeline is not None:
            self.moment = self.timeline.reach(stored)

    def confirm(self) -> None:
        """Write something, where what is answered may only have been read: the COMMIT of nothing waits for nobody.

        Only on PostgreSQL, where a commit can be seen before a synchronous standby has it. This one then waits for all
        before it.
        """
        if self.dialect == "postgresql":
            self._execute("SELECT pg_catalog.pg_logical_emit_message(true, 'rungraph', '')", None)

    def _execute(self, text: str, parameters: Any) -> Any:
        if self.inserts:
            self._write_inserts()
        return self.cursor.execute(text, parameters)

    def _write_inserts(self) -> None:
        for insert in self.inserts:
            self.cursor.execute(*insert)
        self.inserts.clear()

    def one(self, statement: Statement, **parameters: Any) -> Any:
        return self.execute(statement, **parameters).fetchone()

    def all(self, statement: Statement, **parameters: Any) -> list[Any]:
        return list(self.execute(statement, **parameters).fetchall())

    def each(self, statement: ForRows, rows: Sequence[Row]) -> list[Any]:
        """Whatever `statement` returns for all of `rows`, in any order."""
        returned: list[Any] = []
        for count, parameters in self._given(statement.columns, rows):
            returned += self._execute(statement.text(self.dialect, count), parameters).fetchall()
        return returned

    def insert(self, into: Table, rows: Sequence[Row]) -> None:
        """Write `rows`, each with every column."""
        names = into.c.keys()
        if self.dialect == "postgresql" and len(rows) > 1:
            arrays = [array_of([row[name] for row in rows]) for name in names]
            self.inserts.append((insert_into(into, self.dialect, None), arrays))
            return
        for part in _halves(rows):
            values = [row[name] for row in part for name in names]
            self.inserts.append((insert_into(into, self.dialect, len(part)), values))

    def _given(self, columns: Collection[str], rows: Sequence[Row]) -> Iterator[tuple[int | None, Any]]:
        """For each statement that it takes, how many of `rows` are its part (None: any number), and its parameters."""
        if len(rows) == 1:
            yield 1, rows[0]
        elif rows and self.dialect == "postgresql":
            yield None, {name: array_of([row[name] for row in rows]) for name in columns}
        else:
            for part in _halves(rows):
                yield len(part), part[0] if len(part) == 1 else [row[name] for row in part for name in columns]


def _halves(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Parts of ROWS_MAX, or of half of that, or of half of that."""
    begin, size = 0, ROWS_MAX
    while begin < len(rows):
        while size > len(rows) - begin:
            size //= 2
        yield rows[begin : begin + size]
        begin += size


Verb = Callable[[Transaction], T]
VerbOfMany = Callable[[Transaction, Sequence[I]], Sequence[T]]
"""Takes all items that wait for it at once; a result for each, in their order."""


def one_by_one(transaction: Transaction, verbs: Sequence[Verb[Any]]) -> list[Any]:
    """The VerbOfMany whose items are plain verbs."""
    return [verb(transaction) for verb in verbs]
