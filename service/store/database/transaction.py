"""An open transaction, as commands see it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Table

from service.store.database.clock import Moment
from service.store.database.statements import ForRows, Statement, array_of, insert_into
from service.store.database.store_clock import StoreClock

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741  # the type of an item; T is the type of its result

Row = Mapping[str, Any]
ROWS_MAX = 64
"""The most rows in one statement on SQLite. Fewer rows are split into statements of 32, 16, 8 rows and so on, so that
only a few texts have to be prepared."""


@dataclass(slots=True)
class Transaction:
    """A cursor in an open transaction, and the transaction's time."""

    cursor: Any
    dialect: str
    moment: Moment
    clock: StoreClock | None = None
    topics: set[str] = field(default_factory=set)
    """Topics of the events that are sent after the commit."""
    inserts: list[tuple[str, Sequence[Any]]] = field(default_factory=list)
    """INSERT statements that no other statement has needed yet. They are executed just before the COMMIT, on PostgreSQL
    as one statement."""
    is_lock: Callable[[BaseException], bool] = lambda _: False
    """Whether an error means that somebody else holds a lock."""
    has_savepoints: bool = False
    """Whether `if_free` uses a savepoint, so that commands can go on without rows that are locked."""
    has_met_lock: bool = False

    def if_free(self, do: Callable[[], T]) -> T | None:
        """Return what `do` returns. If it meets a lock, return None with `has_savepoints`, and raise without."""
        return self.unless_locked(do) if self.has_savepoints else do()

    def unless_locked(self, do: Callable[[], T]) -> T | None:
        """Return what `do` returns, or None if it met a lock.

        After a lock the changes of `do` are undone, and the transaction goes on.
        """
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
        """Lock a table in one of PostgreSQL's modes, or raise at once if somebody else has locked it.

        On SQLite a transaction that writes has locked the whole file.
        """
        if self.dialect == "postgresql":
            self._execute(f"LOCK TABLE {name} IN {mode} MODE NOWAIT", None)

    def reach(self, stored: Any) -> None:
        """Move the transaction's time up to `stored`, a time that some server has written, if that is later."""
        if self.clock is not None:
            self.moment = self.clock.reach(stored)

    def confirm(self) -> None:
        """Write something, so that the COMMIT waits for the disk even if this transaction otherwise only reads.

        On PostgreSQL other sessions see a commit before a synchronous standby has it. A transaction that has read back
        an earlier commit must therefore wait for the standby, which then has all earlier commits too.
        """
        if self.dialect == "postgresql":
            self._execute("SELECT pg_catalog.pg_logical_emit_message(true, 'rungraph', '')", None)

    def execute(self, statement: Statement, **parameters: Any) -> Any:
        text, fixed = statement.text(self.dialect)
        return self._execute(text, fixed | parameters if fixed else parameters)

    def one(self, statement: Statement, **parameters: Any) -> Any:
        return self.execute(statement, **parameters).fetchone()

    def all(self, statement: Statement, **parameters: Any) -> list[Any]:
        return list(self.execute(statement, **parameters).fetchall())

    def each(self, statement: ForRows, rows: Sequence[Row]) -> list[Any]:
        """Execute `statement` for all of `rows` and return what it returns, in any order."""
        returned: list[Any] = []
        if len(rows) == 1:
            returned += self._execute(statement.text(self.dialect, 1), rows[0]).fetchall()
        elif rows:
            for count, parameters in self._parameters_of(statement.columns, rows):
                returned += self._execute(statement.text(self.dialect, count), parameters).fetchall()
        return returned

    def insert(self, into: Table, rows: Sequence[Row]) -> None:
        """Insert `rows`, no later than just before the COMMIT. Each row has a value for every column."""
        self.insert_tuples(into, list(map(_values_of(into), rows)))

    def insert_tuples(self, into: Table, rows: Sequence[Sequence[Any]]) -> None:
        """Insert `rows` like `insert`. Each row has its values in the order of the table's columns."""
        if len(rows) == 1:
            self.inserts.append((insert_into(into, self.dialect, 1), rows[0]))
        elif rows and self.dialect == "postgresql":
            arrays = [array_of(column) for column in zip(*rows, strict=True)]
            self.inserts.append((insert_into(into, self.dialect, None), arrays))
        elif rows:
            for part in _parts_of(rows):
                self.inserts.append((insert_into(into, self.dialect, len(part)), [*chain.from_iterable(part)]))

    def _execute(self, text: str, parameters: Any) -> Any:
        if self.inserts:
            self._write_inserts()
        return self.cursor.execute(text, parameters)

    def _write_inserts(self) -> None:
        for insert in self.inserts:
            self.cursor.execute(*insert)
        self.inserts.clear()

    def _parameters_of(self, columns: Collection[str], rows: Sequence[Row]) -> Iterator[tuple[int | None, Any]]:
        """Yield, for each statement that `rows` take, its number of rows (None: any number) and its parameters."""
        if self.dialect == "postgresql":
            yield None, {name: array_of([row[name] for row in rows]) for name in columns}
        else:
            for part in _parts_of(rows):
                yield len(part), part[0] if len(part) == 1 else [row[name] for row in part for name in columns]


@cache
def _values_of(table: Table) -> Callable[[Row], Sequence[Any]]:
    """Return the function that gives a row's values in the order of the columns."""
    return itemgetter(*table.c.keys())


def _parts_of(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Split `rows` into parts of ROWS_MAX rows, and the rest into parts of half as many, a quarter and so on."""
    begin, size = 0, ROWS_MAX
    while begin < len(rows):
        while size > len(rows) - begin:
            size //= 2
        yield rows[begin : begin + size]
        begin += size


Command = Callable[[Transaction], T]
BatchCommand = Callable[[Transaction, Sequence[I]], Sequence[T]]
"""A command that takes, in one call, all items that wait for it. It returns a result for each, in their order."""


def one_by_one(transaction: Transaction, commands: Sequence[Command[Any]]) -> list[Any]:
    """Execute each of `commands` and return the results. It is the BatchCommand whose items are plain commands."""
    return [command(transaction) for command in commands]
