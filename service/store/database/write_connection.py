"""The connection that writes, and the one transaction that is open on it. Used by whoever has the writer's turn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from service.store.database import missing
from service.store.database.protocol import Database
from service.store.database.queued_write import Pending, results_of
from service.store.database.timeline import Timeline
from service.store.database.transaction import Transaction
from service.store.rows.latest_time import go_on_from_what_is_stored

logger = logging.getLogger(__name__)


class Writing:
    """Connects, opens, commits and rolls back. It raises what the database raises."""

    def __init__(self, database: Database, timeline: Timeline, keep: Callable[[], None]) -> None:
        """`keep` is called after a COMMIT that makes `Database.keep` due."""
        self._database = database
        self._timeline = timeline
        self._keep = keep
        self.connection: Any = None
        """None: there is none, or it broke."""
        self.transaction: Transaction
        """The open one."""

    def connect(self) -> None:
        if self.connection is None:
            self.connection = self._database.connect_writer()

    def open(self) -> None:
        """Open a transaction on the connection."""
        self.transaction = self.opened(self.connection)

    def opened(self, connection: Any, *lock_ms: int) -> Transaction:
        """A transaction that is open on `connection`, at the store's time."""
        asked_at = self._timeline.elapsed()
        moment = self._timeline.moment(self._database.begin(connection, *lock_ms), asked_at)
        return Transaction(connection.cursor(), self._database.dialect, moment, self._timeline)

    def run(self, batch: Sequence[Pending[Any]]) -> list[Any]:
        """The results of `batch`, once they are committed."""
        if self._timeline.is_new:
            go_on_from_what_is_stored(self.transaction)
            self._timeline.is_new = False
        results = results_of(batch, self.transaction)
        self.commit()
        return results

    def commit(self) -> None:
        if self._database.commit(self.connection, self.transaction.cursor, self.transaction.inserts):
            self._keep()

    def roll_back(self) -> None:
        """Undo the open transaction; a connection that cannot is closed."""
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

    def lacking(self) -> Sequence[Any]:
        """What the database lacks just now, asked in a transaction of its own."""
        self.connect()
        self.open()
        try:
            return missing.lacking(self.transaction)
        finally:
            self.roll_back()
