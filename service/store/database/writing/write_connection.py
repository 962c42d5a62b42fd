"""The connection that writes, and how its transactions begin."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from service.core.metrics import Histogram
from service.store.database.protocol import Database
from service.store.database.store_clock import StoreClock
from service.store.database.transaction import Transaction
from service.store.database.writing.queued_write import QueuedWrite, results_of

logger = logging.getLogger(__name__)

BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class StoredTimes(Protocol):
    """Reads the latest times that servers have stored. It comes from outside, because this package knows no table."""

    @property
    def is_read(self) -> bool:
        """Whether all stored times have been read, so that the store's time is behind none of them."""

    def read(self, transaction: Transaction) -> None:
        """Move the store's time up to the stored times not read yet. Those in locked tables are left for later."""


class Transactions:
    """Begins transactions at the store's time, for the writer and for blocked writes, and executes commands in them."""

    def __init__(self, database: Database, clock: StoreClock, stored_times: StoredTimes | None = None) -> None:
        self._database = database
        self._clock = clock
        self._stored_times = stored_times

    def begin(self, connection: Any, *lock_ms: int, has_savepoints: bool = False) -> Transaction:
        """Open a transaction on `connection`. It waits at most `lock_ms` milliseconds for each lock."""
        asked_at = self._clock.elapsed()
        moment = self._clock.moment(self._database.begin(connection, *lock_ms), asked_at)
        return Transaction(
            connection.cursor(),
            self._database.dialect,
            moment,
            self._clock,
            is_lock=self.is_lock,
            has_savepoints=has_savepoints,
        )

    def execute(self, batch: Sequence[QueuedWrite[Any]], transaction: Transaction) -> list[Any]:
        """Execute `batch` in `transaction` and return the results. The caller commits.

        The first transactions of a server read the stored times before they write a time: the clock may have been set
        back while no server ran.
        """
        if (stored_times := self._stored_times) is not None:
            stored_times.read(transaction)
            transaction.has_met_lock = False  # A lock met here is not one on what `batch` touches.
            if stored_times.is_read:
                self._stored_times = None
        return results_of(batch, transaction)

    def is_lock(self, error: BaseException) -> bool:
        """Whether to try again later: `error` means that somebody else holds a lock, or `Database.is_victim`."""
        # A deadlock's victim would meet the same lock again if it were tried at once.
        return isinstance(error, Exception) and (self._database.is_locked(error) or self._database.is_victim(error))


class WriteConnection:
    """The writer's connection and the one transaction that is open on it.

    Only the holder of the writer's turn (see `writer`) uses it. It raises what the database raises.
    """

    def __init__(self, database: Database, transactions: Transactions, on_keep_due: Callable[[], None]) -> None:
        """`on_keep_due` is called after a COMMIT that makes `Database.keep` due."""
        self._database = database
        self._transactions = transactions
        self._on_keep_due = on_keep_due
        self.connection: Any = None
        """None before the first connect and after the connection broke."""
        self.batches = Histogram(BATCH_BOUNDS)
        """The number of commands of each commit."""
        self.transaction: Transaction
        """The open transaction, or the last one."""

    def connect(self) -> None:
        if self.connection is None:
            self.connection = self._database.connect_writer()

    def begin(self) -> None:
        """Open a transaction on the connection."""
        self.transaction = self._transactions.begin(self.connection)

    def execute(self, batch: Sequence[QueuedWrite[Any]]) -> list[Any]:
        """Execute `batch` in the open transaction, commit the transaction, and return the results."""
        results = self._transactions.execute(batch, self.transaction)
        if self._database.commit(self.connection, self.transaction.cursor, self.transaction.inserts):
            self._on_keep_due()
        self.batches.observe(len(batch))
        return results

    def roll_back(self) -> None:
        """Undo the open transaction, or close the connection if that fails."""
        try:
            self.connection.rollback()
        except self._database.errors:
            self.disconnect()

    def disconnect(self, *, for_good: bool = False) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            try:
                self._database.disconnect(connection, for_good=for_good)
            except self._database.errors as error:
                logger.warning("the writing connection did not close: %s", error)

    def read(self, ask: Callable[[Transaction], Sequence[Any]]) -> Sequence[Any]:
        """Return what `ask` reads in a transaction of its own, which is rolled back."""
        self.connect()
        self.begin()
        try:
            return ask(self.transaction)
        finally:
            self.roll_back()
