"""A SQLite file: how to connect, what its errors mean, and who owns it.

Differs from PostgreSQL because a SQLite file has one writing server: a lock on a file beside it says which,
and holds its address.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from service.core.errors import StartRefused
from service.store.hints import NoHints, Ring

logger = logging.getLogger(__name__)

SQLITE_MIN = (3, 35, 0)
"""The first one with RETURNING."""
LOG_BYTES = 1_000 * 4_096
"""Pages of a WAL that COMMIT checkpoints (SQLite's default for `wal_autocheckpoint`) of this size."""
BUSY_TIMEOUT_MS = 1_000
"""How long a reader waits for a lock; the writer waits by itself, and looks meanwhile whether its verbs still wait."""


@dataclass(frozen=True, slots=True)
class Sqlite:
    """The Database of one file."""

    file: Path
    dialect: str = "sqlite"
    is_shared: bool = False
    errors: tuple[type[Exception], ...] = (sqlite3.Error,)
    bugs: tuple[type[Exception], ...] = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError)

    @classmethod
    def at(cls, path: str | None) -> Sqlite:
        if sqlite3.sqlite_version_info < SQLITE_MIN:
            raise StartRefused(
                f"SQLite {sqlite3.sqlite_version} is too old: {'.'.join(map(str, SQLITE_MIN))} is needed"
            )
        if not path or ":memory:" in path or path.startswith("file:"):
            raise StartRefused("a durable engine needs a file: an in-memory database is refused")
        return cls(Path(path).absolute())

    @property
    def name(self) -> str:
        return str(self.file)

    @property
    def data_folder(self) -> Path:
        return self.file.with_name(self.file.stem + "-data")

    @property
    def url(self) -> URL:
        # Not put together as text: `?` and `%` in a directory's name would be taken for something else.
        return URL.create("sqlite", database=str(self.file))

    def is_locked(self, error: Exception) -> bool:
        code = getattr(error, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

    def is_victim(self, error: BaseException) -> bool:  # noqa: ARG002  # one writer has nobody to deadlock with
        return False

    def connect_writer(self) -> sqlite3.Connection:
        """The connection that writes. FULL: with NORMAL a power loss takes acknowledged commits along."""
        connection = sqlite3.connect(self.file, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise sqlite3.OperationalError(f"its file system has no WAL: SQLite uses {mode}")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._lengthen_log(connection)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _lengthen_log(self, connection: sqlite3.Connection) -> None:
        """Make the WAL as long as it becomes anyway: to sync a file that grows takes twice as long.

        What does not fit into the cache is written to it, and nowhere else, though it is rolled back.
        """
        ((cache_size,),) = connection.execute("PRAGMA cache_size")
        connection.execute("PRAGMA cache_size = 10")
        connection.execute("BEGIN IMMEDIATE")
        try:
            if log_path(self).stat().st_size < LOG_BYTES:
                connection.execute(f"CREATE TABLE longer AS SELECT zeroblob({LOG_BYTES})")
        except sqlite3.OperationalError as error:
            logger.warning("there is no room for a log of %d bytes: %s", LOG_BYTES, error)
        connection.rollback()
        connection.execute(f"PRAGMA cache_size = {cache_size}")

    def begin(self, connection: sqlite3.Connection) -> str:
        connection.execute("BEGIN IMMEDIATE")
        (now,) = connection.execute("SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')").fetchone()
        return str(now)

    def commit(self, connection: sqlite3.Connection, cursor: Any, inserts: Sequence[tuple[str, list[Any]]]) -> None:
        for insert in inserts:
            cursor.execute(*insert)
        connection.execute("COMMIT")

    def reader_engine(self, readers_max: int) -> AsyncEngine:
        """None of them can checkpoint either, which is the writer's part."""
        engine = create_async_engine(
            self.url.set(drivername="sqlite+aiosqlite"), pool_size=readers_max, max_overflow=0, pool_timeout=10
        )

        @event.listens_for(engine.sync_engine, "connect")
        def prepare(connection: Any, _record: Any) -> None:
            connection.isolation_level = None
            cursor = connection.cursor()
            cursor.execute("PRAGMA query_only = ON")
            cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            cursor.close()

        @event.listens_for(engine.sync_engine, "begin")
        def begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN")

        return engine

    def hints(self, ring: Ring) -> NoHints:  # noqa: ARG002  # nobody rings
        return NoHints()

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(self.url, poolclass=NullPool, connect_args={"timeout": 30, "isolation_level": None})
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.exec_driver_sql("COMMIT")

    def own(self, address: str) -> FileLock:
        return FileLock.take(self, address)

    def owner(self) -> str | None:
        return owner_of(self)


class FileLock:
    """The lock on `FILE.lock`: held for a server's life, gone with its process however that ends."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        # A child that a tool forks has the lock as well, and would keep it when this process is gone.
        os.register_at_fork(after_in_child=file.close)

    @classmethod
    def take(cls, database: Sqlite, address: str) -> FileLock:
        """Own `database` as the server at `address`; StartRefused names the owner if there is one."""
        path = lock_path(database)
        try:
            database.file.parent.mkdir(parents=True, exist_ok=True)
            # Not "w": the owner's address must stay readable to the one that is refused.
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+")
        except OSError as error:
            raise StartRefused(f"cannot open {path}: {error.strerror}") from error
        try:
            _lock(file)
        except OSError as error:
            owner = file.read().strip() or "an unknown address"
            file.close()
            raise StartRefused(
                f"{database.file} is owned by the server at {owner}: on SQLite one server owns the file. "
                "Stop that one, or use PostgreSQL to share the work among servers."
            ) from error
        ownership = cls(file)
        ownership.move_to(address)
        return ownership

    def move_to(self, address: str) -> None:
        """Write down where the owner can be reached."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(address + "\n")
        self._file.flush()

    def release(self) -> None:
        self._file.close()


def _lock(file: IO[str]) -> None:
    """Lock `file`, or raise OSError; whoever only looks for the owner holds the lock for a moment."""
    for remaining in reversed(range(5)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if not remaining:
                raise
            time.sleep(0.02)


def owner_of(database: Sqlite) -> str | None:
    """The address of the server that owns `database` just now."""
    try:
        file = lock_path(database).open("r")
    except OSError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return file.read().strip() or None
    return None


def log_path(database: Sqlite) -> Path:
    return database.file.with_name(database.file.name + "-wal")


def lock_path(database: Sqlite) -> Path:
    return database.file.with_name(database.file.name + ".lock")
