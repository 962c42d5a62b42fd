"""The writer: every write of this server goes through one connection, one transaction at a time.

All commands that wait are committed in one transaction (group commit). If a batch fails, it is rolled back and each
command is executed alone, so that no command suffers for another. If a batch meets a lock that somebody else holds, it
is handed over to `blocked_writes` and the writer goes on. If the database takes no writes, a command ends as
Unavailable at its deadline. The outcome of a COMMIT that failed is unknown, so commands can be executed twice: they
name what they write by key, and read it back.

Whoever holds the turn, a lock, commits. That is the writer's own thread or, if a loop has asked for it, the thread of
that loop, because a switch to another thread takes as long as a commit. A loop commits only what needs no waiting
(`_commit_inline`, called once for all that is queued meanwhile). The writer's thread commits what a loop could not
commit, and what a loop has not committed within LOOP_S because a tool blocks the loop. No write is forgotten: it is
queued before the turn is requested, and whoever releases the turn checks whether something waits.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from service.core.errors import StartRefused, Unavailable
from service.store.database.local_events import LocalEvents
from service.store.database.notifier import Notifier
from service.store.database.protocol import Database
from service.store.database.required_tables import RequiredTables
from service.store.database.store_clock import StoreClock
from service.store.database.transaction import BatchCommand, Command, I, T, one_by_one
from service.store.database.writing.blocked_writes import BlockedWrites
from service.store.database.writing.inline_loops import InlineLoop, InlineLoops
from service.store.database.writing.queued_write import (
    QUEUE_MAX,
    STOPPING,
    QueuedWrite,
    Touches,
    WriteQueue,
    answer,
    deadline_in,
    refuse_all,
)
from service.store.database.writing.write_connection import StoredTimes, Transactions, WriteConnection

logger = logging.getLogger(__name__)

BATCH_MAX = 512
"""The most commands in one transaction. A command that commits several steps counts once for each step."""
PAUSE_S_MIN, PAUSE_S_MAX = 0.05, 1.0
"""Bounds of the pause between two tries to open a transaction."""
LOSSES_MAX = 5
"""After this many lost transactions, assume that the command causes them."""
TURN_S = 10.0
"""How long a caller with a deadline waits, after that deadline, for a command that is being executed."""

NO_WRITES = "the database takes no writes just now"


class Writer:
    """Owns the connection that writes. Call `start` before use, and `close` when all callers are done."""

    def __init__(
        self,
        database: Database,
        events: LocalEvents,
        notifier: Notifier,
        required: RequiredTables,
        clock: StoreClock | None = None,
        stored_times: StoredTimes | None = None,
    ) -> None:
        self._database = database
        self._events = events
        self._notifier = notifier
        self._required = required
        # A connection needs a file descriptor, and there may be none left.
        self._obstacles: tuple[type[Exception], ...] = (OSError, *database.errors)
        self._queue = WriteQueue()
        self._waiting = self._queue.waiting
        self._closing = self._queue.closing
        transactions = Transactions(database, clock or StoreClock(lease_s=0.0), stored_times)
        # The writer's thread does the maintenance (`Database.keep`), so that no answer waits for it.
        self._write_connection = WriteConnection(database, transactions, self._note_keep_due)
        self._is_keep_due = False  # Whether a COMMIT has made the maintenance due.
        self.batches = self._write_connection.batches
        self._blocked_writes = BlockedWrites(database, transactions, self._take_back, self._tell)
        self._stranded: list[QueuedWrite[Any]] = []
        """Writes without a deadline to a database that is lost until a restart."""
        self._turn = threading.Lock()
        """Held by the user of the connection: the writer's thread or a loop that commits inline."""
        self._inline_loops = InlineLoops()
        self._denial: str | None = None
        """Why the last try to open a transaction failed, as far as clients may know."""
        self._is_held_up = False
        """Whether the thread had to commit what was left to a loop, and no loop has committed since."""
        self._is_sound = True
        """Whether the last outcome, even if it was a refusal, came from the database and not from a fault of ours."""
        self._thread = threading.Thread(target=self._work, name="rungraph-writer", daemon=True)

    @property
    def is_sound(self) -> bool:
        """Whether writes reach the database, which may refuse them."""
        return self._is_sound and (self._thread.is_alive() or self._closing.is_set())

    def start(self) -> None:
        """Connect and start the thread. If the database is locked, the first command connects."""
        try:
            self._write_connection.connect()
        except self._database.errors as error:
            if not self._database.is_locked(error):
                raise StartRefused(f"cannot write {self._database.name}: {error}") from error
        self._thread.start()

    def close(self, timeout_s: float = 5.0) -> None:
        """Commit what waits, or refuse it if the database is locked, and close. Wait at most `timeout_s` for that."""
        self._queue.close()
        self._queue.called.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def commit_inline(self, *, only_own: bool = False) -> None:
        """Let the running loop commit what needs no waiting. With `only_own`, only its own writes make it commit."""
        self._inline_loops.add(only_own=only_own)
        self._is_held_up = False
        self._queue.called.set()

    def commit_on_thread(self) -> None:
        """From now on, commit no more on the running loop, because it is about to end."""
        self._inline_loops.remove()
        self._queue.called.set()

    def submit(self, command: Command[T], *, touches: Touches = (), within_s: float | None = None) -> Future[T]:
        """Queue `command`. If it has not been executed after `within_s` seconds, it ends as Unavailable."""
        future: Future[T] = Future()
        if self._queue.add(QueuedWrite(one_by_one, command, deadline_in(within_s), future, touches=touches)):
            self._call()
        return future

    async def write(self, command: Command[T], *, touches: Touches = (), within_s: float | None = None) -> T:
        """Return the result of `command`. After Unavailable it may be unknown whether it was committed."""
        return await self.write_with_others(one_by_one, command, touches=touches, within_s=within_s)

    async def write_with_others(
        self,
        command: BatchCommand[I, T],
        item: I,
        *,
        touches: Touches = (),
        within_s: float | None = None,
        at_once: bool = False,
    ) -> T:
        """Return the result of `command` for `item`. One call executes it for all its items next to each other.

        `at_once`: if the running loop commits inline, commit now and do not wait for others that may come. This
        coroutine is then suspended only if that commit does not succeed.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        deadline = None if within_s is None else deadline_in(within_s)
        if self._queue.add(QueuedWrite(command, item, deadline, future, loop, touches)):
            self.hasten(at_once=at_once)
        if within_s is None:
            return await future
        try:
            async with asyncio.timeout(within_s + TURN_S):
                return await future
        except TimeoutError:
            raise Unavailable("the database does not answer") from None

    def defer(self, command: BatchCommand[I, T], item: I, *, touches: Touches = ()) -> QueuedWrite[T]:
        """Queue `command` for `item`, to be committed with other writes or soon after DEFER_S.

        Until the command is executed, the caller may change the item, and `weight` and `touches` of the QueuedWrite.
        """
        loop = asyncio.get_running_loop()
        write: QueuedWrite[T] = QueuedWrite(command, item, None, loop.create_future(), loop, touches, is_deferred=True)
        self._queue.add(write)
        self._queue.call()  # The thread sees to it that the write is not forgotten if a tool blocks the loop.
        return write

    def hasten(self, *, at_once: bool) -> None:
        """Have everything committed that waits, even deferred writes. `at_once` is as in `write_with_others`."""
        self._queue.due_at = 0.0
        if at_once and (inline := self._inline_loops.here()):  # Its gain: S1 of benchmarks/compare.py.
            self._commit_inline(inline)
        else:
            self._call()

    def commit_overdue(self, now: float) -> None:
        """If the running loop commits inline and something has waited for OVERDUE_S, commit what waits."""
        self._queue.seen_at = now
        if self._queue.is_overdue(now) and (inline := self._inline_loops.here()):
            self._commit_inline(inline)

    def _take_back(self, batch: Sequence[QueuedWrite[Any]]) -> None:
        """Queue what blocked writes give back, before all other writes."""
        if self._queue.put_first(batch):
            self._call()
        else:
            refuse_all(batch, Unavailable(STOPPING))

    def _call(self, asking: asyncio.AbstractEventLoop | None = None) -> None:
        """Have the queued writes committed: by a loop that commits inline (see `best_for`), or else by the thread."""
        self._queue.due_at = 0.0
        inline = self._inline_loops.best_for(asking)
        if inline is not None and not inline.is_called:
            # The loop commits in its next iteration, together with what other tasks write until then.
            inline.call(self._commit_inline)
        self._queue.call()

    def _commit_inline(self, inline: InlineLoop) -> None:
        """Commit what waits, on the thread of `inline`. If the turn is taken, its holder calls again afterwards."""
        inline.is_called = self._is_held_up = False
        if not self._turn.acquire(blocking=False):
            return
        try:
            batch = [write for write in self._queue.take(self._blocked_writes, BATCH_MAX) if self._still_waits(write)]
            is_done = not batch or self._commit_without_waiting(batch)
            if not is_done:
                self._put_back(batch)
        finally:
            self._turn.release()
        if not is_done:
            self._queue.called.set()
        elif self._queue.is_due():
            self._call()

    def _commit_without_waiting(self, batch: list[QueuedWrite[Any]]) -> bool:
        """Commit `batch` and return True, unless the database is locked just now or a command fails."""
        if self._write_connection.connection is None:
            return False
        try:
            self._write_connection.begin()
            ready = [write for write in batch if write.is_wanted()]
            results = self._write_connection.execute(ready)
        except BaseException as error:  # The thread tries again, and gives a caller its error.
            self._database.end_if_fatal(error)
            self._write_connection.roll_back()
            return False
        answer(ready, results)
        self._tell(self._write_connection.transaction.topics)
        self._queue.committed_at = time.monotonic()
        return True

    def _put_back(self, batch: list[QueuedWrite[Any]]) -> None:
        """Put `batch` back at the beginning of the queue, for the thread."""
        for write in batch:
            write.left_until = 0.0
            write.losses += self._write_connection.connection is None
        self._waiting.extendleft(reversed(batch))
        self._queue.due_at = 0.0

    def _work(self) -> None:
        """Commit what waits until the writer is closed. Runs on the writer's own thread."""
        is_done, again_s = False, None
        while not is_done:
            self._queue.await_work(again_s, self._leaves_to_loop)
            if self._leaves_to_loop() and (deferred := self._queue.put_off_first()):
                self._call(deferred.loop)
                continue
            if not (self._waiting or self._is_keep_due or again_s is not None or self._closing.is_set()):
                continue  # The loop has committed everything meanwhile, and may need the turn for its next commit.
            with self._turn:
                # Check again: the loop may have committed the overdue write by now, and may still commit later ones.
                while self._queue.left_s(is_left_to_loop=self._leaves_to_loop()) <= 0 and (
                    batch := self._queue.take(self._blocked_writes, BATCH_MAX)
                ):
                    if self._inline_loops.takes_all and not all(write.is_deferred for write in batch):
                        self._is_held_up = True
                    self._commit_or_drop(batch)
                self._is_keep_due = False
                again_s = self._database.keep(self._write_connection.connection)
                # This is decided while the turn is held, so that the loop cannot put anything back afterwards.
                is_done = self._closing.is_set() and not self._waiting
            if self._queue.is_due():
                self._call()
        self._blocked_writes.close()
        refuse_all(self._stranded, Unavailable(STOPPING))
        self._write_connection.disconnect(for_good=True)

    def _note_keep_due(self) -> None:
        self._is_keep_due = True
        self._queue.called.set()

    def _leaves_to_loop(self) -> bool:
        """Whether the thread leaves writes to the loop for as long as they may wait for it."""
        return self._inline_loops.takes_all and not self._is_held_up and not self._closing.is_set()

    def _commit_or_drop(self, batch: list[QueuedWrite[Any]]) -> None:
        """Commit `batch`. If a fault of ours prevents that, refuse the batch, so that later writes are answered."""
        try:
            if ready := self._begin(batch):
                self._commit(ready)
        except Exception:
            self._is_sound = False
            logger.exception("a batch was dropped")
            self._write_connection.disconnect()
            refuse_all(batch, Unavailable(NO_WRITES))

    def _begin(self, batch: list[QueuedWrite[Any]], *, alone: bool = False) -> list[QueuedWrite[Any]]:
        """Open a transaction, however long that takes, and return the writes of `batch` that are still wanted.

        Unless `alone`, later writes join `batch`, because their deadlines pass too. An empty list: none was opened.
        """
        pause_s = PAUSE_S_MIN
        while batch := [write for write in batch if self._still_waits(write)]:
            if lost := self._database.lost():
                self._strand(batch, lost)
                return []
            try:
                self._write_connection.connect()
                self._write_connection.begin()
                self._is_sound = True
            except self._obstacles as error:
                self._is_sound = True
                if self._closing.is_set():
                    refuse_all(batch, Unavailable(f"{STOPPING}, and the database takes no writes"))
                    return []
                self._denial = self._database.denial(error)
                if not self._database.is_locked(error):
                    self._write_connection.disconnect()
                    logger.warning("the database takes no writes now: %s", error)
                self._closing.wait(pause_s)
                pause_s = min(pause_s * 2, PAUSE_S_MAX)
                if not alone:
                    batch += self._blocked_writes.take(self._waiting, QUEUE_MAX - len(batch))
            else:
                self._denial = None
                if ready := [write for write in batch if write.is_wanted()]:
                    return ready
                self._write_connection.roll_back()
                return []
        return []

    def _strand(self, batch: list[QueuedWrite[Any]], reason: str) -> None:
        """Refuse writes to a lost database. Writes without a deadline are refused when the writer closes."""
        self._database.keep(self._write_connection.connection)
        for write in batch:
            if write.deadline is None and not self._closing.is_set():
                self._stranded.append(write)
            else:
                write.refuse(Unavailable(reason))

    def _still_waits(self, write: QueuedWrite[Any]) -> bool:
        """Whether the caller of `write` still waits. Refuse it if its deadline has passed."""
        if write.future.cancelled():
            return False
        if write.deadline is not None and write.is_overdue():
            write.refuse(Unavailable(NO_WRITES if self._denial is None else f"{NO_WRITES}: {self._denial}"))
            return False
        return True

    def _commit(self, batch: list[QueuedWrite[Any]]) -> None:
        """Execute and commit `batch`. If that fails, give it to the blocked writes, or execute each command alone."""
        try:
            results = self._write_connection.execute(batch)
        except BaseException as error:
            self._database.end_if_fatal(error)
            self._write_connection.roll_back()
            if not self._blocked_writes.takes(batch, error):
                self._replay(batch, error)
            return
        answer(batch, results)
        self._tell(self._write_connection.transaction.topics)

    def _tell(self, topics: set[str]) -> None:
        """Send the events of a commit."""
        self._is_sound = True
        self._events.notify(topics)
        self._notifier.send(topics)

    def _replay(self, batch: list[QueuedWrite[Any]], error: BaseException) -> None:
        """Execute each command alone after `error`. If the connection broke, the COMMIT may have succeeded.

        A command of unknown outcome that has no deadline is never given up while the database is unavailable: only
        the command itself can read back what it did.
        """
        is_lost = self._write_connection.connection is None or self._database.is_victim(error)
        refusal = self._required.refusal(error, partial(self._write_connection.read, self._required.find_missing))
        for write in batch:
            write.losses += is_lost
            if len(batch) > 1 or (is_lost and write.losses < LOSSES_MAX):
                free = [] if self._queue.follow_returned(write) else self._blocked_writes.take(deque([write]), 1)
                if ready := self._begin(free, alone=True):
                    self._commit(ready)
            elif write.losses and write.deadline is None and isinstance(refusal, Unavailable):
                self._try_later(write, refusal)
            else:
                refuse_all(batch, refusal)

    def _try_later(self, write: QueuedWrite[Any], refusal: Unavailable) -> None:
        """Queue `write` behind all that waits, so that nothing waits for it. Refuse it if the writer is closing."""
        if self._closing.wait(PAUSE_S_MIN):
            refuse_all([write], refusal)
        else:
            self._queue.put_last(write)
