"""The single writer: every write of this server goes through one connection, on one thread at a time.

Whatever waits is committed as one transaction (group commit). Where the batch fails it is rolled back and each verb
replayed alone, so that no verb suffers for its neighbour. Where it has met a lock of somebody else's, it is handed to
the lane (`lane`), and the writer goes on. A verb that the database cannot take now ends as Unavailable; whether a
COMMIT that failed took place is unknown, so verbs can be replayed: they name what they write by key, and read it back.

Who commits is whoever has the turn: the writer's own thread or, where a loop was told to, the thread of that loop,
since a hop to another one takes as long as a commit. The loop does what takes no waiting (`_combine`, called once for
all that is queued meanwhile). What it could not do is put back and the thread's at once; what it has not come to
within LOOP_S, being held up by a tool, the thread takes as well. No call is lost: an item is queued before the turn
is tried for, and whoever gives the turn back looks then whether something waits.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from service.core.errors import StartRefused, Unavailable
from service.store.database.blocked_writes import Lane
from service.store.database.local_events import Wake
from service.store.database.notifier import Hints
from service.store.database.protocol import Database
from service.store.database.queued_write import Pending, Touched, answer, deadline_in
from service.store.database.required_tables import RequiredTables
from service.store.database.timeline import Timeline
from service.store.database.transaction import I, T, Verb, VerbOfMany, one_by_one
from service.store.database.write_connection import StoredTimes, Transactions, WriteConnection

logger = logging.getLogger(__name__)

BATCH_MAX = 512
"""Verbs in one transaction."""
QUEUE_MAX = 10_000
"""Verbs that may wait; beyond that a caller is told to come back."""
PAUSE_S_MIN, PAUSE_S_MAX = 0.05, 1.0
"""Between two tries to open a transaction."""
LOSSES_MAX = 5
"""Transactions that may be lost under one verb before it is suspected of that."""
TURN_S = 10.0
"""How long a caller with a deadline waits for a verb that has had its turn."""
LOOP_S = 0.02
"""How long verbs are left to the loop that commits inline; a tool may be holding it up."""


class Writer:
    """Owns the writing connection. `start` before use; `close` when all callers are done."""

    def __init__(
        self,
        database: Database,
        wake: Wake,
        hints: Hints,
        required: RequiredTables,
        timeline: Timeline | None = None,
        stored_times: StoredTimes | None = None,
    ) -> None:
        self._database = database
        self._wake = wake
        self._hints = hints
        self._required = required
        # A connection needs a file descriptor, of which there may be none left.
        self._obstacles: tuple[type[Exception], ...] = (OSError, *database.errors)
        self._called = threading.Event()
        # What is to be kept the thread does, off the way of the answers.
        transactions = Transactions(database, timeline or Timeline(lease_s=0.0), stored_times)
        self._writing = WriteConnection(database, transactions, on_keep_due=self._called.set)
        self._lane = Lane(database, transactions, self._take_back, self._tell)
        self._waiting: deque[Pending[Any]] = deque()
        self._stranded: list[Pending[Any]] = []  # Of a database that is lost until a restart.
        self._entry = threading.Lock()
        """Held to queue a verb or to close: nothing is queued behind the end of the queue."""
        self._turn = threading.Lock()
        """Held by whoever uses the connection: the writer's own thread, or the loop that commits inline."""
        self._closing = threading.Event()
        self._inline: asyncio.AbstractEventLoop | None = None
        self._inline_thread: int | None = None
        self._denial: str | None = None
        """Why the database has not let us in lately, as far as clients may know."""
        self._is_combining = False
        """Whether `_combine` is still to be called for what is queued now."""
        self._is_held_up = False
        """Whether the thread had to do what was left to the loop, which has done nothing since."""
        self._is_sound = True
        """Whether the last that happened was the database's answer, be it a refusal, and no fault of ours."""
        self._thread = threading.Thread(target=self._work, name="rungraph-writer", daemon=True)

    @property
    def is_sound(self) -> bool:
        """Whether it goes to the database; what that makes of it is another matter."""
        return self._is_sound and (self._thread.is_alive() or self._closing.is_set())

    def start(self) -> None:
        """Connect, or let the first verb do so: a database that is locked just now is a wait, at the start too."""
        try:
            self._writing.connect()
        except self._database.errors as error:
            if not self._database.is_locked(error):
                raise StartRefused(f"cannot write {self._database.name}: {error}") from error
        self._thread.start()

    def close(self, timeout_s: float = 5.0) -> None:
        """Commit what waits, then close. A database that is still locked then keeps it uncommitted."""
        with self._entry:
            self._closing.set()
        self._called.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def commit_inline(self) -> None:
        """From now on, commit on the thread of the running loop whatever takes no waiting."""
        self._inline = asyncio.get_running_loop()
        self._inline_thread = threading.get_ident()
        self._is_combining = self._is_held_up = False
        self._called.set()

    def commit_on_thread(self) -> None:
        """From now on, commit on the writer's own thread: the loop is coming to its end."""
        self._inline, self._inline_thread = None, None
        self._called.set()

    def submit(self, verb: Verb[T], *, touching: Touched = (), within_s: float | None = None) -> Future[T]:
        """Queue `verb`, in order. After `within_s` seconds without its turn it ends as Unavailable."""
        future: Future[T] = Future()
        self._queue(Pending(one_by_one, verb, deadline_in(within_s), future, touching=touching))
        return future

    async def write(self, verb: Verb[T], *, touching: Touched = (), within_s: float | None = None) -> T:
        """The result of `verb`. Unavailable may also mean that it is unknown whether it was done."""
        return await self.write_with_others(one_by_one, verb, touching=touching, within_s=within_s)

    async def write_with_others(
        self,
        verb: VerbOfMany[I, T],
        item: I,
        *,
        touching: Touched = (),
        within_s: float | None = None,
        at_once: bool = False,
    ) -> T:
        """The result of `verb` for `item`; it is given all items that wait for it just then.

        `at_once`: a loop that commits inline waits for no others. It then has not suspended this coroutine.
        """
        loop = asyncio.get_running_loop()
        if at_once and loop is self._inline and (results := self._alone(verb, item)):
            return results[0]
        future: asyncio.Future[T] = loop.create_future()
        self._queue(Pending(verb, item, deadline_in(within_s), future, loop, touching))
        if within_s is None:
            return await future
        try:
            async with asyncio.timeout(within_s + TURN_S):
                return await future
        except TimeoutError:
            raise Unavailable("the database does not answer") from None

    def _queue(self, pending: Pending[Any]) -> None:
        pending.left_until = time.monotonic() + LOOP_S
        with self._entry:
            if self._closing.is_set():
                pending.future.set_exception(Unavailable("the server is stopping"))
            elif len(self._waiting) >= QUEUE_MAX:
                pending.future.set_exception(Unavailable("too many writes wait for the database"))
            else:
                self._waiting.append(pending)
                self._call()

    def _take_back(self, batch: Sequence[Pending[Any]]) -> None:
        """Queue what the lane gives back."""
        with self._entry:
            if not (is_late := self._closing.is_set()):
                self._waiting.extend(batch)
                self._call()
        if is_late:
            self._refuse(batch, Unavailable("the server is stopping"))

    def _call(self) -> None:
        """See to it that somebody commits what waits."""
        loop = self._inline
        if loop is not None and not loop.is_closed() and not self._is_combining:
            # Soon, and not at once: whatever else is ready by then goes into the same commit. Twice does no harm.
            self._is_combining = True
            is_there = threading.get_ident() == self._inline_thread
            with suppress(RuntimeError):  # Closed just now.
                loop.call_soon(self._combine) if is_there else loop.call_soon_threadsafe(self._combine)
        self._called.set()

    def _combine(self) -> None:
        """Commit what waits, on the loop's thread. Where somebody else has the turn, he calls again."""
        self._is_combining = self._is_held_up = False
        if not self._turn.acquire(blocking=False):
            return
        try:
            batch = [pending for pending in self._taken(BATCH_MAX) if self._still_waits(pending)]
            is_done = not batch or self._commit_at_once(batch)
            if not is_done:
                self._put_back(batch)
        finally:
            self._turn.release()
        if not is_done:
            self._called.set()
        elif self._waiting:
            self._call()

    def _alone(self, verb: VerbOfMany[I, T], item: I) -> Sequence[T]:
        """The result of `verb` for `item` alone; nothing where that is not to be had at once."""
        if self._waiting or self._closing.is_set() or not self._turn.acquire(blocking=False):
            return ()
        try:
            if self._writing.connection is None:
                return ()
            self._writing.begin()
            results = verb(self._writing.transaction, [item])
            self._writing.commit()
            self._tell(self._writing.transaction.woken)
        except BaseException as error:  # Raised again when it is done once more, in its turn.
            self._database.end_if_fatal(error)
            self._writing.roll_back()
            return ()
        finally:
            self._turn.release()
        if self._waiting:
            self._call()
        return results

    def _commit_at_once(self, batch: list[Pending[Any]]) -> bool:
        """Commit `batch`, if that takes no waiting: the database is not somebody else's just now, and no verb fails."""
        if self._writing.connection is None:
            return False
        try:
            self._writing.begin()
            ready = [pending for pending in batch if pending.is_wanted()]
            results = self._writing.execute(ready)
        except BaseException as error:  # Raised again for whom it concerns, when the thread does it once more.
            self._database.end_if_fatal(error)
            self._writing.roll_back()
            return False
        answer(ready, results)
        self._tell(self._writing.transaction.woken)
        return True

    def _put_back(self, batch: list[Pending[Any]]) -> None:
        """For the thread, before all that came later."""
        for pending in batch:
            pending.left_until = 0.0
            pending.losses += self._writing.connection is None
        self._waiting.extendleft(reversed(batch))

    def _work(self) -> None:
        is_done, again_s = False, None
        while not is_done:
            self._called.wait(again_s)
            self._called.clear()
            while (left_s := self._left_s()) > 0 and not self._closing.wait(left_s):
                pass
            with self._turn:
                # Asked once more: the loop may have done it just now, and what waits then is the loop's again.
                while self._left_s() <= 0 and (batch := self._taken(BATCH_MAX)):
                    self._is_held_up = self._inline is not None
                    self._do(batch)
                again_s = self._database.keep(self._writing.connection)
                # With the turn, so that nobody puts back behind our back what could not be done at once.
                is_done = self._closing.is_set() and not self._waiting
            if self._waiting:
                self._call()
        self._lane.close()
        self._refuse(self._stranded, Unavailable("the server is stopping"))
        self._writing.disconnect(for_good=True)

    def _left_s(self) -> float:
        """For how long the first that waits is left to the loop yet: not at all, if the loop is held up anyway."""
        if self._inline is None or self._is_held_up or self._closing.is_set():
            return 0.0
        try:
            return self._waiting[0].left_until - time.monotonic()
        except IndexError:
            return 0.0

    def _do(self, batch: list[Pending[Any]]) -> None:
        try:
            if ready := self._begin(batch):
                self._commit(ready)
        except Exception:
            # A fault of ours costs these verbs their answer, and must not cost all later ones theirs.
            self._is_sound = False
            logger.exception("a batch was dropped")
            self._writing.disconnect()
            self._refuse(batch, Unavailable("the database takes no writes just now"))

    def _taken(self, count: int) -> list[Pending[Any]]:
        """Up to `count` of the verbs that wait, but for those that touch what is known to be locked."""
        return self._lane.sift([self._waiting.popleft() for _ in range(min(count, len(self._waiting)))])

    def _begin(self, batch: list[Pending[Any]], *, alone: bool = False) -> list[Pending[Any]]:
        """Open a transaction for those of `batch` that still wait when the database lets us in.

        Verbs that come meanwhile join them, unless `alone`: their deadlines pass as well.
        """
        pause_s = PAUSE_S_MIN
        while batch := [pending for pending in batch if self._still_waits(pending)]:
            if lost := self._database.lost():
                self._strand(batch, lost)
                return []
            try:
                self._writing.connect()
                self._writing.begin()
                self._is_sound = True
            except self._obstacles as error:
                self._is_sound = True
                if self._closing.is_set():
                    self._refuse(batch, Unavailable("the server is stopping, and the database takes no writes"))
                    return []
                self._denial = self._database.denial(error)
                if not self._database.is_locked(error):
                    self._writing.disconnect()
                    logger.warning("the database takes no writes now: %s", error)
                self._closing.wait(pause_s)
                pause_s = min(pause_s * 2, PAUSE_S_MAX)
                if not alone:
                    batch += self._taken(QUEUE_MAX - len(batch))
            else:
                self._denial = None
                if ready := [pending for pending in batch if pending.is_wanted()]:
                    return ready
                self._writing.roll_back()
                return []
        return []

    def _strand(self, batch: list[Pending[Any]], reason: str) -> None:
        """Of a database that is lost until a restart, tell those who have a deadline; the others wait for the end."""
        self._database.keep(self._writing.connection)
        for pending in batch:
            if pending.deadline is None and not self._closing.is_set():
                self._stranded.append(pending)
            else:
                pending.refuse(Unavailable(reason))

    def _still_waits(self, pending: Pending[Any]) -> bool:
        if pending.future.cancelled():
            return False
        if pending.is_overdue():
            because = "" if self._denial is None else f": {self._denial}"
            pending.refuse(Unavailable(f"the database takes no writes just now{because}"))
            return False
        return True

    def _commit(self, batch: list[Pending[Any]]) -> None:
        """Run `batch` in the open transaction; where that fails, each verb in one of its own."""
        try:
            results = self._writing.execute(batch)
        except BaseException as error:
            self._database.end_if_fatal(error)
            self._writing.roll_back()
            if not self._lane.takes(batch, error):
                self._replay(batch, error)
            return
        answer(batch, results)
        self._tell(self._writing.transaction.woken)

    def _tell(self, woken: set[str]) -> None:
        """Send hints of what is committed by now: the way to the database works."""
        self._is_sound = True
        self._wake.notify(woken)
        self._hints.send(woken)

    def _replay(self, batch: list[Pending[Any]], error: BaseException) -> None:
        """Each verb alone, after `error`. Where the connection broke, the COMMIT may have taken place all the same.

        A verb of which that is unknown is not given up unless it has a deadline: it alone can read back what it did.
        """
        lost = self._writing.connection is None or self._database.is_victim(error)
        refusal = self._required.refusal(error, partial(self._writing.read, self._required.find_missing))
        for pending in batch:
            pending.losses += lost
            if len(batch) > 1 or (lost and pending.losses < LOSSES_MAX):
                if ready := self._begin(self._lane.sift([pending]), alone=True):
                    self._commit(ready)
            elif pending.losses and pending.deadline is None and isinstance(refusal, Unavailable):
                self._try_later(pending, refusal)
            else:
                self._refuse(batch, refusal)

    def _try_later(self, pending: Pending[Any], refusal: Unavailable) -> None:
        """Behind all that waits, so that nothing waits for it; refused where the writer closes."""
        if self._closing.wait(PAUSE_S_MIN):
            self._refuse([pending], refusal)
        else:
            self._waiting.append(pending)
            self._called.set()

    @staticmethod
    def _refuse(batch: Sequence[Pending[Any]], error: BaseException) -> None:
        for pending in batch:
            pending.refuse(error)
