"""What the store needs of a database. `sqlite` and `postgres` implement it.

The packages `sqlite` and `postgres` contain the differences between the two, except for these:

- `statements`, `Transaction.insert` and `Transaction.each`: PostgreSQL takes any number of rows as arrays, so that one
  text is prepared for all numbers; SQLite has no arrays, and gets a text for each of a few fixed numbers of rows.
- `Transaction.lock_table` and `confirm`: on SQLite a transaction that writes has locked the whole file, and no standby
  can be behind.
- `BlockedWrites.takes`: on SQLite nobody locks single rows, and the writer itself waits for the file.
- `Store.committing_inline`: a loop that commits on PostgreSQL could wait seconds for the network.
- Commands, queries and rows whose SQL differs choose it by `dialect`; search for that word.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from service.store.database.notifier import Notifier, OnNotified

if TYPE_CHECKING:  # A terminal command that asks a running server needs no SQLAlchemy, which is slow to import.
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

READERS_MAX = 8
LOCK_MS = 50
"""How long the writer waits for a lock: longer than a transaction of another server takes."""


class Ownership(Protocol):
    """A server's right to the database, until it is released."""

    def release(self) -> None: ...


class Database(Protocol):
    """A database: how to connect to it, what its errors mean, and which server may use it."""

    @property
    def dialect(self) -> str: ...

    @property
    def name(self) -> str:
        """The database's name in messages: the path of a file, or a URL without user and password."""

    @property
    def is_shared(self) -> bool:
        """Whether several servers may use it at once."""

    @property
    def data_folder(self) -> Path:
        """The folder for the files of runs, unless a setting names another."""

    @property
    def files(self) -> Sequence[str]:
        """The files that the database consists of; empty if a database server keeps them."""

    @property
    def missing_columns(self) -> str:
        """The SQL that finds missing columns. `{wanted}` stands for pairs of a table's and a column's name.

        It returns such a pair for each missing column, with NULL for the column if the whole table is missing.
        """

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """The exceptions that the driver raises."""

    @property
    def bugs(self) -> tuple[type[Exception], ...]:
        """The errors among `errors` that a second try would raise again."""

    def denial(self, error: BaseException) -> str | None:
        """Return what clients are told if the database, or a right in it, is missing; None for any other error."""

    def may_lack(self, error: BaseException) -> bool:
        """Whether a statement named a table or a column that the database does not have."""

    def is_locked(self, error: Exception) -> bool:
        """Whether somebody else holds a lock, so that waiting may help."""

    def is_victim(self, error: BaseException) -> bool:
        """Whether to try again at once: a deadlock undid the transaction, or no standby has confirmed its COMMIT."""

    def connect_writer(self) -> Any:
        """Return a DBAPI connection in autocommit mode. Raise one of `errors` if its commits would not be durable."""

    def disconnect(self, connection: Any, *, for_good: bool) -> None:
        """Close `connection`. `for_good`: it is the last one of this server."""

    def begin(self, connection: Any, lock_ms: int = LOCK_MS) -> int:
        """Open a transaction that writes, and return the database's time in microseconds since 1970.

        If others can lock single rows, statements in it wait at most `lock_ms` for each lock.
        """

    def commit(self, connection: Any, cursor: Any, inserts: Sequence[tuple[str, Sequence[Any]]]) -> bool:
        """Execute `inserts` in the open transaction, commit it, and return whether `keep` is due."""

    def keep(self, connection: Any | None) -> float | None:
        """Do the maintenance that is due between two transactions. Do nothing if `connection` is None.

        Return the number of seconds until more maintenance is due, or None if only a commit can make more due.
        """

    def lost(self) -> str | None:
        """Return why nothing can be read or written until this process is restarted, or None if all is well."""

    def end_if_fatal(self, error: BaseException) -> None:
        """End the process if after `error` nobody knows what is on disk."""

    def reader_engine(self, readers_max: int) -> AsyncEngine:
        """Return a pool of connections. Each transaction sees one snapshot, and none can write."""

    def notifier(self, on_notified: OnNotified) -> Notifier:
        """Return a Notifier, which tells other servers of our changes, and calls `on_notified` for theirs."""

    def migrating(self) -> AbstractContextManager[Connection]:
        """Open one transaction that changes the schema. Nobody else can open one meanwhile."""

    def own(self, address: str) -> Ownership:
        """Take the right to the database for the server at `address`. Raise StartRefused if another server has it."""

    def owner(self) -> str | None:
        """Return the address of the server that has the sole right to the database, or None if no server has it."""
