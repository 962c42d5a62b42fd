"""A PostgreSQL server, shared by any number of our own: how to connect, and what its errors mean.

Nothing depends on a session's settings, so that a pooler in transaction mode may stand in between.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from service.core.errors import StartRefused
from service.store.hints import Ring
from service.store.notify import Notify

VERSION_MIN = 15
PREPARE_THRESHOLD = 5
"""How often a statement is executed before it is prepared; the driver's own default."""
START_WITHIN_S = 10.0
"""How long a start waits for a PostgreSQL that is starting too."""
MIGRATION_LOCK = 0x52756E67726170
"""The key of the advisory lock, any number: "Rungrap" in ASCII."""

_CONNECTION = {
    "application_name": "rungraph",
    "client_encoding": "UTF8",
    # Of several hosts, the one that takes writes: after a failover that is another one.
    "target_session_attrs": "read-write",
    "connect_timeout": 5,
    # A server that has gone without a word is noticed within about 10 s.
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

# Both for each transaction, in the same message that opens it. A server that stops in the middle of one keeps
# its rows locked until PostgreSQL ends it; no transaction of ours is ever open while a tool runs.
_BEGIN = """\
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL lock_timeout = '2s'; SET LOCAL idle_in_transaction_session_timeout = '2s';
SELECT clock_timestamp()"""
_BEGIN_READING = """\
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL statement_timeout = '30s'; SET LOCAL idle_in_transaction_session_timeout = '10s'"""

_FACTS = """\
SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding'),
    current_setting('fsync'), current_setting('synchronous_commit')"""


@dataclass(frozen=True, slots=True)
class Postgres:
    """The Database behind a libpq connection string."""

    conninfo: str
    allow_undurable: bool = False
    prepare_threshold: int | None = PREPARE_THRESHOLD
    """None: nothing is prepared."""
    dialect: str = "postgresql"
    is_shared: bool = True
    errors: tuple[type[Exception], ...] = (psycopg.Error,)
    bugs: tuple[type[Exception], ...] = (psycopg.IntegrityError, psycopg.ProgrammingError, psycopg.DataError)

    @classmethod
    def at(cls, url: str, *, allow_undurable: bool = False) -> Postgres:
        url, prepare_threshold = _take_prepare_threshold(url)
        try:
            given: dict[str, Any] = {**_CONNECTION, **conninfo_to_dict(url)}
            return cls(make_conninfo(**given), allow_undurable, prepare_threshold)
        except psycopg.ProgrammingError as error:
            # Without its own text, which may quote the password.
            raise StartRefused("RUNGRAPH_DATABASE_URL is no URL that libpq understands") from error

    @property
    def name(self) -> str:
        given = conninfo_to_dict(self.conninfo)
        place = ":".join(str(given[part]) for part in ("host", "port") if given.get(part))
        return f"postgresql://{place}/{given.get('dbname', '')}"

    @property
    def data_folder(self) -> Path:
        return Path("rungraph-data")

    def is_locked(self, error: Exception) -> bool:
        return isinstance(error, psycopg.errors.LockNotAvailable)

    def connect_writer(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(self.conninfo, autocommit=True, prepare_threshold=self.prepare_threshold)
        try:
            self._check(connection)
        except psycopg.Error:
            connection.close()
            raise
        return connection

    def _check(self, connection: psycopg.Connection[Any]) -> None:
        """Asked of each connection: after a failover another server answers."""
        version, encoding, fsync, synchronous_commit = connection.execute(_FACTS).fetchall()[0]
        if version < VERSION_MIN:
            raise psycopg.NotSupportedError(f"PostgreSQL {version} is too old: {VERSION_MIN} is needed")
        if encoding != "UTF8":
            raise psycopg.NotSupportedError(f"the database has the encoding {encoding}: UTF8 is needed")
        off = [name for name, value in (("fsync", fsync), ("synchronous_commit", synchronous_commit)) if value == "off"]
        if off and not self.allow_undurable:
            raise psycopg.NotSupportedError(
                f"{' and '.join(off)} is off, and a crash would lose what was acknowledged:"
                " turn it on, or set RUNGRAPH_ALLOW_UNDURABLE=1"
            )

    def begin(self, connection: psycopg.Connection[Any]) -> Any:
        cursor = connection.execute(_BEGIN)
        while cursor.nextset():
            pass
        return cursor.fetchall()[0][0]

    def reader_engine(self, readers_max: int) -> AsyncEngine:
        async def connect() -> psycopg.AsyncConnection[Any]:
            return await psycopg.AsyncConnection.connect(
                self.conninfo, autocommit=True, prepare_threshold=self.prepare_threshold
            )

        engine = create_async_engine(
            "postgresql+psycopg://",
            async_creator=connect,
            isolation_level="AUTOCOMMIT",
            pool_size=readers_max,
            max_overflow=0,
            pool_timeout=10,
            use_native_hstore=False,
        )

        @event.listens_for(engine.sync_engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(_BEGIN_READING, execution_options={"no_parameters": True})

        return engine

    def hints(self, ring: Ring) -> Notify:
        return Notify(self.conninfo, ring)

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        engine = create_engine("postgresql+psycopg://", creator=self._connect_patiently, poolclass=NullPool)
        with engine.begin() as connection:
            # Of the transaction, not of the session: the same session may be somebody else's behind a pooler.
            connection.exec_driver_sql("SET LOCAL lock_timeout = '60s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            connection.exec_driver_sql("SET LOCAL lock_timeout = '10s'")
            yield connection

    def _connect_patiently(self) -> psycopg.Connection[Any]:
        end = time.monotonic() + START_WITHIN_S
        while True:
            try:
                connection = psycopg.connect(self.conninfo)
                break
            except psycopg.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
        try:
            self._check(connection)
            connection.rollback()
        except psycopg.Error:
            connection.close()
            raise
        return connection

    def own(self, address: str) -> Shared:  # noqa: ARG002  # nobody else has to know it
        return Shared()

    def owner(self) -> None:
        return None


class Shared:
    """The Ownership of a database that is nobody's own."""

    def release(self) -> None:
        return


def _take_prepare_threshold(url: str) -> tuple[str, int | None]:
    """`url` without `prepare_threshold`, which libpq does not know, and its value; 0 says that nothing is prepared.

    A pooler in transaction mode may hand on prepared statements to another server (pgbouncer before 1.21 does).
    """
    base, _, query = url.partition("?")
    kept, threshold = [], PREPARE_THRESHOLD
    for parameter in filter(None, query.split("&")):
        name, _, value = parameter.partition("=")
        if name != "prepare_threshold":
            kept.append(parameter)
        elif value.isascii() and value.isdigit() and len(value) < 10:
            threshold = int(value)
        else:
            raise StartRefused("RUNGRAPH_DATABASE_URL: prepare_threshold takes a number, 0 to prepare nothing")
    return base + ("?" + "&".join(kept) if kept else ""), threshold or None
