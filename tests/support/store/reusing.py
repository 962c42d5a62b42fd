"""A PostgreSQL database whose sessions outlive the stores of the tests, emptied of all that the last user set.

The first statements of a new session read the catalogs, which takes most of the time of a short test. A store cannot
tell a session that it is lent from a new one, unless the defaults of the database or the server changed meanwhile.
"""

from __future__ import annotations

from typing import Any

import psycopg

from service.store.database.postgres.connections import Postgres
from service.store.database.protocol import Database
from tests.support.sessions import give_back, take_spare


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    lent_by = ""

    def close(self) -> None:
        self.pgconn = give_back(self.lent_by, self.pgconn)
        super().close()


class _AsyncConnection(psycopg.AsyncConnection[tuple[Any, ...]]):
    lent_by = ""

    async def close(self) -> None:
        self.pgconn = give_back(self.lent_by, self.pgconn)
        await super().close()


class Reusing(Postgres):
    """Takes a spare session before it makes one."""

    def connect_writer(self) -> psycopg.Connection[Any]:
        if spare := take_spare(self.conninfo):
            connection = _Connection(spare)
            connection.prepare_threshold = self._session["prepare_threshold"]
            connection.autocommit = True
        else:
            connection = _Connection.connect(self.conninfo, **self._session)
        connection.lent_by = self.conninfo
        return self._opened(connection)

    async def connect_reader(self) -> psycopg.AsyncConnection[Any]:
        if spare := take_spare(self.conninfo):
            connection = _AsyncConnection(spare)
            connection.prepare_threshold = self._session["prepare_threshold"]
            await connection.set_autocommit(True)
        else:
            connection = await _AsyncConnection.connect(self.conninfo, **self._session)
        connection.lent_by = self.conninfo
        return await self._opened_reader(connection)


def with_new_sessions(database: Database) -> Database:
    """Return `database` with sessions that no other store has used, as after a change of its defaults."""
    assert isinstance(database, Postgres)
    return Postgres(database.conninfo, database.has_pooler, database.sessions)


def reusing(url: str) -> Database:
    """Return the database at `url`, with sessions that outlive its stores. `Databases.drop` leaves them open."""
    database = Postgres.at(url)
    return Reusing(database.conninfo, database.has_pooler, database.sessions)
