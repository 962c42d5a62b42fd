"""The single writer: every write of this server goes through one connection on one thread.

Whatever waits is committed as one transaction (group commit). Where the batch fails it is rolled back and
each verb replayed alone, so that no verb suffers for its neighbour. A verb that the database cannot take now
ends as Unavailable; whether a COMMIT that failed took place is unknown, so verbs can be replayed: they name
what they write by key, and read it back.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import Table

from service.core.errors import StartRefused, Unavailable
from service.store.clock import Moment, Override
from service.store.database import Database
from service.store.hints import Hints
from service.store.sql import Statement, insert_into
from service.store.wake import Wake

logger = logging.getLogger(__name__)
T = TypeVar("T")

BATCH_MAX = 256
"""Verbs in one transaction."""
QUEUE_MAX = 10_000
"""Verbs that may wait; beyond that a caller is told to come back."""
PAUSE_S_MIN, PAUSE_S_MAX = 0.05, 1.0
"""Between two tries to open a transaction."""
LOSSES_MAX = 5
"""Connections that may break under one verb before it is suspected of breaking them."""
TURN_S = 10.0
"""How long a caller with a deadline waits for a verb that has had its turn."""


@dataclass(slots=True)
class Transaction:
    """What a verb sees of the database: a cursor inside an open transaction, and the moment it is."""

    cursor: Any
    dialect: str
    moment: Moment
    woken: set[str] = field(default_factory=set)
    """Topics to notify once this is committed."""

    def execute(self, statement: Statement, **parameters: Any) -> Any:
        text, fixed = statement.text(self.dialect)
        return self.cursor.execute(text, fixed | parameters if fixed else parameters)

    def insert(self, table: Table, *rows: Mapping[str, Any]) -> None:
        """Write `rows`, each with every column."""
        if len(rows) == 1:
            self.cursor.execute(insert_into(table, self.dialect, many=False), rows[0])
        elif rows and self.dialect == "sqlite":
            self.cursor.executemany(insert_into(table, self.dialect, many=True), rows)
        elif rows:
            columns = {name: [row[name] for row in rows] for name in rows[0]}
            self.cursor.execute(insert_into(table, self.dialect, many=True), columns)

    def one(self, statement: Statement, **parameters: Any) -> Any:
        return self.execute(statement, **parameters).fetchone()

    def all(self, statement: Statement, **parameters: Any) -> list[Any]:
        return list(self.execute(statement, **parameters).fetchall())


Verb = Callable[[Transaction], T]


@dataclass(slots=True)
class _Pending(Generic[T]):
    verb: Verb[T]
    deadline: float | None
    losses: int = 0
    future: Future[T] = field(default_factory=Future)


class Writer:
    """Owns the writing connection. `start` before use; `close` when all callers are done."""

    def __init__(self, database: Database, wake: Wake, hints: Hints, clock: Override | None = None) -> None:
        self._database = database
        self._wake = wake
        self._hints = hints
        self._clock = clock
        self._queue: queue.Queue[_Pending[Any] | None] = queue.Queue(QUEUE_MAX)
        self._connection: Any = None
        self._moment: Moment
        self._closing = threading.Event()
        self._entry = threading.Lock()
        """Held to queue a verb or to close: nothing is queued behind the end of the queue."""
        self._thread = threading.Thread(target=self._work, name="rungraph-writer", daemon=True)

    def start(self) -> None:
        """Connect, or let the first verb do so: a database that is locked just now is a wait, at the start too."""
        try:
            self._connection = self._database.connect_writer()
        except self._database.errors as error:
            if not self._database.is_locked(error):
                raise StartRefused(f"cannot write {self._database.name}: {error}") from error
        self._thread.start()

    def close(self, timeout_s: float = 5.0) -> None:
        """Commit what waits, then close. A database that is still locked then keeps it uncommitted."""
        with self._entry:
            self._closing.set()
        self._queue.put(None)
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def submit(self, verb: Verb[T], *, within_s: float | None = None) -> Future[T]:
        """Queue `verb`, in order. After `within_s` seconds without its turn it ends as Unavailable."""
        deadline = None if within_s is None else time.monotonic() + within_s
        pending = _Pending(verb, deadline)
        with self._entry:
            if self._closing.is_set():
                pending.future.set_exception(Unavailable("the server is stopping"))
                return pending.future
            try:
                self._queue.put_nowait(pending)
            except queue.Full:
                pending.future.set_exception(Unavailable("too many writes wait for the database"))
        return pending.future

    async def write(self, verb: Verb[T], *, within_s: float | None = None) -> T:
        """The result of `verb`. Unavailable may also mean that it is unknown whether it was done."""
        written = asyncio.wrap_future(self.submit(verb, within_s=within_s))
        try:
            async with asyncio.timeout(None if within_s is None else within_s + TURN_S):
                return await written
        except TimeoutError:
            raise Unavailable("the database does not answer") from None

    def _work(self) -> None:
        while batch := self._take():
            if ready := self._begin(batch):
                self._commit(ready)
        self._disconnect()

    def _take(self) -> list[_Pending[Any]]:
        """The next batch, waiting for it; empty when the writer is closing and nothing is left."""
        first = self._queue.get()
        return [] if first is None else [first, *self._queued(BATCH_MAX - 1)]

    def _queued(self, count: int) -> list[_Pending[Any]]:
        """Up to `count` verbs that wait in the queue now."""
        found: list[_Pending[Any]] = []
        while len(found) < count:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._queue.put(None)
                break
            found.append(following)
        return found

    def _begin(self, batch: list[_Pending[Any]], *, alone: bool = False) -> list[_Pending[Any]]:
        """Open a transaction for those of `batch` that still wait when the database lets us in.

        Verbs that come meanwhile join them, unless `alone`: their deadlines pass as well.
        """
        pause_s = PAUSE_S_MIN
        while batch := [pending for pending in batch if self._still_waits(pending)]:
            try:
                if self._connection is None:
                    self._connection = self._database.connect_writer()
                now = self._database.begin(self._connection)
            except self._database.errors as error:
                if self._closing.is_set():
                    self._refuse(batch, Unavailable("the server is stopping, and the database takes no writes"))
                    return []
                if not self._database.is_locked(error):
                    self._disconnect()
                    logger.warning("the database takes no writes now: %s", error)
                self._closing.wait(pause_s)
                pause_s = min(pause_s * 2, PAUSE_S_MAX)
                if not alone:
                    batch += self._queued(QUEUE_MAX - len(batch))
            else:
                if ready := [pending for pending in batch if _is_running(pending)]:
                    self._moment = Moment.of(self._clock() if self._clock else now)
                    return ready
                self._roll_back()
                return []
        return []

    def _still_waits(self, pending: _Pending[Any]) -> bool:
        if pending.future.cancelled():
            return False
        if pending.deadline is not None and time.monotonic() > pending.deadline:
            self._refuse([pending], Unavailable("the database takes no writes just now"))
            return False
        return True

    def _commit(self, batch: list[_Pending[Any]]) -> None:
        """Run `batch` in the open transaction; where that fails, each verb in one of its own."""
        try:
            results, woken = self._run(batch)
        except BaseException as error:
            self._roll_back()
            self._replay(batch, error)
            return
        self._wake.notify(woken)
        self._hints.send(woken)
        for pending, result in zip(batch, results, strict=True):
            pending.future.set_result(result)

    def _run(self, batch: list[_Pending[Any]]) -> tuple[list[Any], set[str]]:
        transaction = Transaction(self._connection.cursor(), self._database.dialect, self._moment)
        results = [pending.verb(transaction) for pending in batch]
        self._connection.execute("COMMIT")
        return results, transaction.woken

    def _replay(self, batch: list[_Pending[Any]], error: BaseException) -> None:
        """Each verb alone, after `error`. Where the connection broke, the COMMIT may have taken place all the same."""
        lost = self._connection is None
        for pending in batch:
            pending.losses += lost
            if len(batch) == 1 and not (lost and pending.losses < LOSSES_MAX):
                self._refuse(batch, self._translated(error))
            elif ready := self._begin([pending], alone=True):
                self._commit(ready)

    def _roll_back(self) -> None:
        try:
            self._connection.rollback()
        except self._database.errors:
            self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except self._database.errors as error:
                logger.warning("the writing connection did not close: %s", error)

    def _translated(self, error: BaseException) -> BaseException:
        if isinstance(error, self._database.errors) and not isinstance(error, self._database.bugs):
            return Unavailable(str(error))
        return error

    @staticmethod
    def _refuse(batch: Sequence[_Pending[Any]], error: BaseException) -> None:
        for pending in batch:
            if _is_running(pending):
                pending.future.set_exception(error)


def _is_running(pending: _Pending[Any]) -> bool:
    """Whether nobody can cancel `pending` any more; False where somebody has."""
    return pending.future.running() or pending.future.set_running_or_notify_cancel()
