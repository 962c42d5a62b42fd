"""The Database of a SQLite file: how to connect, and what its errors mean.

Unlike a PostgreSQL database, a SQLite file is owned by one server (`file_lock`). That server checks that nobody
replaces the file (`file_watch`), and copies the log into it (`checkpoints`).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.core.errors import StartRefused
from service.store.database.notifier import NoNotifier, OnNotified
from service.store.database.sqlite.checkpoints import Checkpoints, end_if_fatal
from service.store.database.sqlite.content_mark import ContentMark
from service.store.database.sqlite.file_lock import FileLock, canonical, owner_of
from service.store.database.sqlite.file_watch import FileLost, FileWatch

if TYPE_CHECKING:  # A terminal command that asks a running server needs no SQLAlchemy, which is slow to import.
    from sqlalchemy import URL, Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

SQLITE_MIN = (3, 35, 0)
"""The first version with RETURNING."""
BUSY_TIMEOUT_MS = 1_000
"""How long a reader waits for a lock. The writer waits in steps, so that it can refuse commands at their deadlines."""

_EPOCH_DAYS, _DAY_MS = 2_440_587.5, 86_400_000
"""The Julian day on which 1970 began, and the length of a day."""

_NOT_THERE = re.compile("no such (table|column)|has no column")

MISSING_COLUMNS = """\
WITH wanted (name, field) AS (VALUES {wanted})
SELECT name, CASE WHEN EXISTS (SELECT 1 FROM pragma_table_info(wanted.name)) THEN field END FROM wanted
WHERE NOT EXISTS (SELECT 1 FROM pragma_table_info(wanted.name) AS there WHERE there.name = wanted.field)
ORDER BY 1, 2"""


@dataclass(frozen=True, slots=True)
class Sqlite:
    """The Database of one file."""

    file: Path
    dialect: str = "sqlite"
    is_shared: bool = False
    missing_columns: str = MISSING_COLUMNS
    errors: tuple[type[Exception], ...] = (sqlite3.Error,)
    bugs: tuple[type[Exception], ...] = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError)
    _watch: FileWatch = field(default_factory=FileWatch, init=False, repr=False, compare=False)
    _mark: ContentMark = field(default_factory=ContentMark, init=False, repr=False, compare=False)
    _checkpoints: Checkpoints = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_checkpoints", Checkpoints(self._watch))

    @classmethod
    def at(cls, path: str | None) -> Sqlite:
        if sqlite3.sqlite_version_info < SQLITE_MIN:
            raise StartRefused(
                f"SQLite {sqlite3.sqlite_version} is too old: {'.'.join(map(str, SQLITE_MIN))} is needed"
            )
        if not path or ":memory:" in path or path.startswith("file:"):
            raise StartRefused("a durable engine needs a file: an in-memory database is refused")
        return cls(canonical(path))

    @property
    def name(self) -> str:
        return str(self.file)

    @property
    def data_folder(self) -> Path:
        return self.file.with_name(self.file.stem + "-data")

    @property
    def files(self) -> tuple[str, ...]:
        file = str(self.file.resolve())
        return tuple(file + ending for ending in ("", "-wal", "-shm", ".lock"))

    @property
    def url(self) -> URL:
        from sqlalchemy import URL

        # A URL in text form would give `?` and `%` in a directory's name another meaning.
        return URL.create("sqlite", database=str(self.file))

    def denial(self, error: BaseException) -> str | None:  # noqa: ARG002  # a file is not denied in SQL
        return None

    def may_lack(self, error: BaseException) -> bool:
        # SQLite has one error code for everything that it cannot prepare.
        return isinstance(error, sqlite3.OperationalError) and _NOT_THERE.search(str(error)) is not None

    def is_locked(self, error: Exception) -> bool:
        code = getattr(error, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

    def is_victim(self, error: BaseException) -> bool:  # noqa: ARG002  # one writer cannot deadlock
        return False

    def connect_writer(self) -> sqlite3.Connection:
        """Return the connection that writes. With synchronous=NORMAL a power loss would undo acknowledged commits."""
        connection = sqlite3.connect(self.file, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA wal_autocheckpoint = 0")  # `keep` checkpoints.
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise sqlite3.OperationalError(f"its file system has no WAL: SQLite uses {mode}")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()  # The log and its index exist from now on.
            self._watch.open(self.file)
            if not self._mark.is_there(connection):
                self._watch.lose_content()
            self._checkpoints.begin(connection)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def disconnect(self, connection: sqlite3.Connection, *, for_good: bool) -> None:
        """Close without a checkpoint. `for_good`: first copy the log into the database file, so SQLite removes it."""
        if for_good:
            self._checkpoints.finish(connection)
        connection.close()
        if for_good:
            self._watch.close()

    def begin(self, connection: sqlite3.Connection, lock_ms: int = 0) -> int:  # noqa: ARG002  # no row can be locked
        if self._watch.lost:
            raise FileLost(self._watch.lost)
        connection.execute("BEGIN IMMEDIATE")
        if not self._mark.is_there(connection):
            connection.rollback()
            self._watch.lose_content()
        # A number of days is exact to the millisecond, and neither SQLite nor Python has to convert a text.
        days: float
        (days,) = connection.execute("SELECT julianday()").fetchone()
        return round((days - _EPOCH_DAYS) * _DAY_MS) * 1000

    def commit(self, connection: sqlite3.Connection, cursor: Any, inserts: Sequence[tuple[str, Sequence[Any]]]) -> bool:
        for insert in inserts:
            cursor.execute(*insert)
        self._mark.change_if_due(connection)
        connection.execute("COMMIT")
        if self._watch.has_just_looked():
            return False
        try:
            return self._checkpoints.are_due(self._watch.verify())
        except FileLost:
            self._checkpoints.rescue(connection)
            raise

    def keep(self, connection: sqlite3.Connection | None) -> float | None:
        return None if connection is None else self._checkpoints.make(connection)

    def lost(self) -> str | None:
        return self._watch.look()

    def end_if_fatal(self, error: BaseException) -> None:
        end_if_fatal(error, self._watch)

    def reader_engine(self, readers_max: int) -> AsyncEngine:
        """Return a pool whose connections neither write nor checkpoint."""
        from sqlalchemy import event
        from sqlalchemy.ext.asyncio import create_async_engine

        from service.store.database.sqlite.reading import connect

        async def open_one() -> Any:
            return await connect(self.file)

        url = self.url.set(drivername="sqlite+aiosqlite")
        engine = create_async_engine(
            url, async_creator=open_one, pool_size=readers_max, max_overflow=0, pool_timeout=10
        )

        @event.listens_for(engine.sync_engine, "connect")
        def prepare(connection: Any, _record: Any) -> None:
            connection.isolation_level = None
            cursor = connection.cursor()
            cursor.execute("PRAGMA query_only = ON")
            cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            cursor.close()

        dialect: Any = engine.sync_engine.dialect
        dialect.do_begin = _begin_to_read
        return engine

    def notifier(self, on_notified: OnNotified) -> NoNotifier:  # noqa: ARG002  # there is no other server
        return NoNotifier()

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        self.file.parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(self.url, poolclass=NullPool, connect_args={"timeout": 30, "isolation_level": None})
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_autocheckpoint = 0")  # Only the writer checkpoints.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.exec_driver_sql("COMMIT")

    def own(self, address: str) -> FileLock:
        return FileLock.take(self.file, address)

    def owner(self) -> str | None:
        return owner_of(self.file)


def _begin_to_read(connection: Any) -> None:
    """Begin a transaction on a connection of the pool. SQLAlchemy's own function does nothing."""
    connection.driver_connection.begin()
