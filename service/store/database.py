"""The database behind a URL. What SQLite and PostgreSQL do differently stands in `sqlite` and `postgres` alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.core.errors import StartRefused
from service.store.hints import Hints, Ring
from service.store.sqlite import Sqlite

READERS_MAX = 8
LOCK_MS = 50
"""How long the writer waits for a lock of somebody else's: longer than a transaction of another server's takes."""


class Ownership(Protocol):
    """A server's right to the database, for as long as it lives."""

    def release(self) -> None: ...


class Database(Protocol):
    """How to connect, what errors mean, and who may serve it."""

    @property
    def dialect(self) -> str: ...

    @property
    def name(self) -> str:
        """What people call it; without a password."""

    @property
    def is_shared(self) -> bool:
        """Whether several servers may serve it at once."""

    @property
    def data_folder(self) -> Path:
        """Where runs leave their files, where no setting says otherwise."""

    @property
    def files(self) -> Sequence[str]:
        """The files that it is made of, where it is made of files."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What its driver raises."""

    @property
    def bugs(self) -> tuple[type[Exception], ...]:
        """Those of them that no second try would mend."""

    def denial(self, error: BaseException) -> str | None:
        """What a client may know of an error that is no fault of ours: the database, or a right in it, is not there."""

    def may_lack(self, error: BaseException) -> bool:
        """Whether a statement named what is not there: a fault of ours, unless `missing` finds that it is gone."""

    def is_locked(self, error: Exception) -> bool:
        """Whether somebody else is writing just now: a wait, no fault."""

    def is_victim(self, error: BaseException) -> bool:
        """Whether to do it again at once: undone for the sake of another transaction, or of unknown outcome."""

    def connect_writer(self) -> Any:
        """A DBAPI connection in autocommit mode. Raises `errors`, also where it would not be durable."""

    def disconnect(self, connection: Any, *, for_good: bool) -> None:
        """Close `connection`; `for_good`: as the last one of this server."""

    def begin(self, connection: Any, lock_ms: int = LOCK_MS) -> Any:
        """Open a transaction that writes; the database's time then, as `clock.from_database` takes it.

        Where others may lock single rows, a statement in it waits for each lock at most `lock_ms`.
        """

    def commit(self, connection: Any, cursor: Any, inserts: Sequence[tuple[str, list[Any]]]) -> bool:
        """Write `inserts`, the last statements of the open transaction, and commit it; whether `keep` is due."""

    def keep(self, connection: Any | None) -> float | None:
        """Do what is due between two transactions, if there is a connection; after how many seconds again, if so."""

    def lost(self) -> str | None:
        """Why nothing can be read or written any more before this process starts anew; None where it can."""

    def end_if_fatal(self, error: BaseException) -> None:
        """End the process if nobody knows what is on disk after `error`."""

    def reader_engine(self, readers_max: int) -> AsyncEngine:
        """A pool of connections; each transaction sees one snapshot, and none can write."""

    def hints(self, ring: Ring) -> Hints:
        """The way to tell other servers what to look at, and to hear it from them."""

    def migrating(self) -> AbstractContextManager[Connection]:
        """One transaction that changes the schema, and that nobody else can enter meanwhile."""

    def own(self, address: str) -> Ownership:
        """Serve it from `address`; StartRefused where another server must be the only one."""

    def owner(self) -> str | None:
        """The address of the server that alone serves it just now."""


def database_at(url: str, *, allow_undurable: bool = False, source: str = "RUNGRAPH_DATABASE_URL") -> Database:
    """The database that `url` names. StartRefused where it names none that we can use.

    `allow_undurable` takes a PostgreSQL that may lose acknowledged commits as well; `source` is where the URL comes
    from, as a person knows it.
    """
    try:
        return _database_at(url, allow_undurable)
    except StartRefused as refused:
        raise StartRefused(f"{source}: {refused}") from refused


def _database_at(url: str, allow_undurable: bool) -> Database:
    scheme = url.partition(":")[0]
    if scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        try:
            from service.store.postgres import Postgres  # its driver is an extra
        except ImportError as error:
            raise StartRefused(f"PostgreSQL needs its driver: pip install 'rungraph[postgres]' ({error})") from error
        return Postgres.at("postgresql:" + url.partition(":")[2], allow_undurable=allow_undurable)
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StartRefused(_no_url(url)) from error
    if parsed.get_backend_name() != "sqlite":
        raise StartRefused(
            f"no database of the kind {parsed.drivername!r}; use sqlite+aiosqlite:///PATH or postgresql://HOST/NAME"
        )
    return Sqlite.at(parsed.database)


def _no_url(text: str) -> str:
    # Not quoted where it may hold a password.
    if "@" in text or ":" in text:
        return "this is no database URL; use sqlite:///PATH or postgresql://HOST/NAME"
    return f"{text!r:.200} is no database URL; of a file it is sqlite:///{text:.200}"
