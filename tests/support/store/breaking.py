"""A writing connection that fails at one COMMIT."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import psycopg

from service.store import Store
from service.store.database.postgres.connections import Postgres
from service.store.database.protocol import Database
from tests.support.store.harness import (
    sql,
)

Fault = Callable[[Database, Any], None]


class Breaking:
    """A writing connection that does at one COMMIT, after `honest` others, what `fault` says."""

    def __init__(self, database: Database, connection: Any, fault: Fault, honest: int) -> None:
        self._database = database
        self._connection = connection
        self._fault = fault
        self.remaining = honest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, text: str, *rest: Any) -> Any:
        if text == "COMMIT":
            self.remaining -= 1
            if self.remaining == -1:
                self._fault(self._database, self._connection)
        return self._connection.execute(text, *rest)


def broken(database: Database) -> Exception:
    error = psycopg.OperationalError if isinstance(database, Postgres) else sqlite3.OperationalError
    return error("the connection was lost")


def committed_but_failed(database: Database, connection: Any) -> None:
    connection.execute("COMMIT")
    raise broken(database)


def committed_and_cut_off(database: Database, connection: Any) -> None:
    connection.execute("COMMIT")
    connection.close()
    raise broken(database)


def cut_off_before(database: Database, connection: Any) -> None:
    connection.rollback()  # SQLite keeps the lock of a connection that is closed amid a statement.
    connection.close()
    raise broken(database)


def ended_by_the_server(database: Database, connection: psycopg.Connection[Any]) -> None:
    """The COMMIT that follows finds nobody."""
    with sql(database) as session:
        asked = session.execute("SELECT pg_terminate_backend(?, 5000)", (connection.info.backend_pid,))
        assert asked.fetchone() == (True,)


def breaks(database: Database, store: Store, fault: Fault, honest: int = 0) -> Breaking:
    breaking = Breaking(database, store._writer._write_connection.connection, fault, honest)
    store._writer._write_connection.connection = breaking
    return breaking
