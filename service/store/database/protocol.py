"""What the store asks of a database. `sqlite` and `postgres` each answer it in their own way."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from service.store.database.notifier import Notifier, OnNotified

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
    def missing_columns(self) -> str:
        """A query for those of the columns `{wanted}`, rows of a table's and a column's name, that are missing.

        It gives such a row for each missing column, with NULL for the column if the whole table is missing.
        """

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

    def commit(self, connection: Any, cursor: Any, inserts: Sequence[tuple[str, Sequence[Any]]]) -> bool:
        """Write `inserts`, the last statements of the open transaction, and commit it; whether `keep` is due."""

    def keep(self, connection: Any | None) -> float | None:
        """Do what is due between two transactions, if there is a connection; after how many seconds again, if so."""

    def lost(self) -> str | None:
        """Why nothing can be read or written any more before this process starts anew; None where it can."""

    def end_if_fatal(self, error: BaseException) -> None:
        """End the process if nobody knows what is on disk after `error`."""

    def reader_engine(self, readers_max: int) -> AsyncEngine:
        """A pool of connections; each transaction sees one snapshot, and none can write."""

    def notifier(self, ring: OnNotified) -> Notifier:
        """The way to tell other servers what to look at, and to hear it from them."""

    def migrating(self) -> AbstractContextManager[Connection]:
        """One transaction that changes the schema, and that nobody else can enter meanwhile."""

    def own(self, address: str) -> Ownership:
        """Serve it from `address`; StartRefused where another server must be the only one."""

    def owner(self) -> str | None:
        """The address of the server that alone serves it just now."""
