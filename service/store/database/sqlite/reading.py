"""The connections that read a SQLite file: aiosqlite's, with one call of the connection's thread for each statement.

A call of that thread, and its answer, each wake a thread that then waits for the interpreter's lock. SQLAlchemy makes
four calls for a statement, and two for its transaction. With one call for a statement and none for the transaction,
lines reach 200 tails of `benchmarks/tails.py` in less than half the time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiosqlite


def connect(file: Path) -> ReadConnection:
    """Return a connection to `file`. Await it to open it."""
    connection = ReadConnection(lambda: sqlite3.connect(file, check_same_thread=False), iter_chunk_size=64)
    connection._thread.daemon = True  # A read that does not end must not keep the process from ending.
    return connection


class ReadConnection(aiosqlite.Connection):
    """A connection whose transactions begin with their first statement, and whose cursors read all rows at once."""

    _has_to_begin = False
    """Whether the next statement is the first of a transaction."""

    def begin(self) -> None:
        """Begin a transaction with the next statement. Raise sqlite3.Error if the connection was closed."""
        try:
            _ = self._conn.in_transaction  # It raises if the connection beneath was closed.
        except ValueError as error:  # SQLAlchemy recognizes a lost connection by the text "no active connection".
            raise sqlite3.OperationalError(str(error)) from error
        self._has_to_begin = True

    async def rollback(self) -> None:
        """End the transaction. Nobody has to wait for it: the thread does it before the next statement."""
        if not self._has_to_begin:
            self._tx.put_nowait((None, self._conn.rollback))

    def cursor(self) -> Any:
        return _Cursor(self)

    async def read(self, statement: str, parameters: Any) -> Any:
        """Execute `statement`. Return the description of its columns, and all of its rows."""
        return await self._execute(self._read_here, statement, parameters)  # type: ignore[no-untyped-call]  # untyped

    def _read_here(self, statement: str, parameters: Any) -> tuple[Any, Sequence[Any]]:
        if self._has_to_begin:
            self._conn.execute("BEGIN")
            self._has_to_begin = False
        cursor = self._conn.execute(statement, parameters)
        return cursor.description, cursor.fetchall()


class _Cursor:
    """What SQLAlchemy uses of a cursor. Only `execute` calls the connection's thread."""

    rowcount = -1
    lastrowid = None
    arraysize = 1

    def __init__(self, connection: ReadConnection) -> None:
        self._connection = connection
        self._rows: Sequence[Any] = ()
        self.description: Any = None

    async def __aenter__(self) -> _Cursor:
        return self

    async def execute(self, statement: str, parameters: Any = ()) -> _Cursor:
        self.description, self._rows = await self._connection.read(statement, parameters)
        return self

    async def fetchall(self) -> Sequence[Any]:
        return self._rows

    async def close(self) -> None:
        self._rows = ()
