"""Commands that wait for their commit, in a queue, and how their callers, threads or tasks, get the results."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, Generic, Protocol

from service.core.errors import Unavailable
from service.store.database.transaction import BatchCommand, T, Transaction

QUEUE_MAX = 10_000
"""The most commands that may wait. Further ones are refused."""
LOOP_S = 0.02
"""How long commands are left to the loop that commits inline, which a tool may be blocking."""
DEFER_S = 0.005
"""How long a deferred command waits for others to be committed with it."""
OVERDUE_S = DEFER_S * 0.8
"""A busy loop that commits inline commits what has waited for this long. An idle loop is called by the writer's thread
after DEFER_S. If another DEFER_S passes, a tool must be blocking the loop, and the thread commits."""

STOPPING = "the server is stopping"

Touches = tuple[str, ...]
"""Names of what a command touches and others may lock, as far as they are known: ids of runs and graphs, and tables
that few commands touch. The first one is the command's subject."""


@dataclass(slots=True, eq=False)
class QueuedWrite(Generic[T]):
    """One item of a command, and the future that gets its result."""

    command: BatchCommand[Any, T]
    item: Any
    deadline: float | None
    future: Future[T] | asyncio.Future[T]
    loop: asyncio.AbstractEventLoop | None = None
    """The loop of the waiting task; None if a thread waits."""
    touches: Touches = ()
    weight: int = 1
    """The number of steps that it commits. The sum of the weights bounds a batch."""
    is_deferred: bool = False
    """Whether it waits for others to be committed with it, unless its caller hastens the commit."""
    is_called: bool = False
    """Whether the loop was called to commit it, because it was deferred for long enough."""
    queued_at: float = 0.0
    left_until: float = 0.0
    """Until when the writer's thread leaves this write to the loop that commits inline."""
    is_returned: bool = False
    """Whether blocked writes have given this write back, so that the writer decides what becomes of it."""
    losses: int = 0
    """How many of its transactions were lost: by a broken connection, by a deadlock, or unconfirmed by a standby."""

    @property
    def subject(self) -> str:
        """What the command is about, or empty. Commands with the same subject are executed in the order of queueing."""
        return self.touches[0] if self.touches else ""

    def precedes(self, later: QueuedWrite[Any]) -> bool:
        """Whether `later` has the same subject, and so must be executed after this write."""
        return self.subject != "" and self.subject == later.subject

    def is_wanted(self) -> bool:
        """Whether the caller still wants the result. If so, a waiting thread can no longer cancel its future."""
        if isinstance(self.future, Future):
            return self.future.running() or (not self.future.done() and self.future.set_running_or_notify_cancel())
        return not self.future.done()

    def is_overdue(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def refuse(self, error: BaseException) -> None:
        """Give the caller `error`."""
        if isinstance(self.future, Future):
            if self.is_wanted():
                self.future.set_exception(error)
        elif self.loop is not None:
            _call_on_loop(self.loop, _set_exception, self.future, error)


class Gate(Protocol):
    """Takes writes out of the queue. It keeps those that must wait for locks, and returns the others."""

    def take(self, waiting: deque[QueuedWrite[Any]], count: int) -> list[QueuedWrite[Any]]: ...


class WriteQueue:
    """The writes that wait, in their order, and when they must be committed."""

    def __init__(self) -> None:
        self.waiting: deque[QueuedWrite[Any]] = deque()
        self.due_at = math.inf
        """The time to commit what waits, on the monotonic clock: 0 (at once) unless all of it is deferred."""
        self.seen_at = -math.inf
        """When the loop that commits inline last looked for overdue writes. It will look again if no tool blocks it."""
        self.committed_at = -math.inf
        """When the loop last committed something."""
        self.closing = threading.Event()
        self.called = threading.Event()
        """Set to wake up the writer's thread."""
        self._entry = threading.Lock()
        """Held to queue a write and to close, so that nothing is queued after the last commit."""

    def close(self) -> None:
        """Refuse what comes from now on."""
        with self._entry:
            self.closing.set()

    def add(self, write: QueuedWrite[Any]) -> bool:
        """Queue `write`, or refuse it and return False."""
        now = time.monotonic()
        write.queued_at = now
        write.left_until = now + (DEFER_S if write.is_deferred else LOOP_S)
        with self._entry:
            if self.closing.is_set():
                write.future.set_exception(Unavailable(STOPPING))
            elif len(self.waiting) >= QUEUE_MAX:
                write.future.set_exception(Unavailable("too many writes wait for the database"))
            else:
                self.waiting.append(write)
                self.due_at = min(self.due_at, now + DEFER_S if write.is_deferred else 0.0)
                return True
        return False

    def call(self) -> None:
        """Wake up the writer's thread, unless it is going to look at the queue anyway."""
        if not self.called.is_set():  # `set` takes many times as long.
            self.called.set()

    def take(self, gate: Gate, weight_max: int) -> list[QueuedWrite[Any]]:
        """Take the next batch out of the queue, through `gate`."""
        self.due_at = math.inf  # Before the queue is read: a write that is queued later sets it again.
        batch = gate.take(self.waiting, weight_max)
        if self.waiting:
            self.due_at = 0.0
        return batch

    def put_first(self, batch: Sequence[QueuedWrite[Any]]) -> bool:
        """Queue `batch` before all other writes. Return False if the queue is closing."""
        with self._entry:
            if self.closing.is_set():
                return False
            self.waiting.extendleft(reversed(batch))
        return True

    def put_last(self, write: QueuedWrite[Any]) -> None:
        """Queue `write` at the end, but before later writes with the same subject."""
        with self._entry:
            followers = [other for other in self.waiting if write.precedes(other)]
            for other in followers:
                self.waiting.remove(other)
            write.is_returned = True
            self.waiting.extend([write, *followers])
        self.due_at = 0.0
        self.called.set()

    def follow_returned(self, write: QueuedWrite[Any]) -> bool:
        """If an earlier write with the same subject was given back, queue `write` behind it and return True."""
        with self._entry:
            same = (place for place, other in enumerate(self.waiting) if other.is_returned and other.precedes(write))
            if (place := max(same, default=-1)) >= 0:
                self.waiting.insert(place + 1, write)
        return place >= 0

    def is_overdue(self, now: float) -> bool:
        """Whether the first write has waited for OVERDUE_S since it was queued, and since the loop last committed.

        When commits are slow, writes are always waiting. The second condition leaves the loop time for other work.
        """
        try:
            return now - max(self.waiting[0].queued_at, self.committed_at) >= OVERDUE_S
        except IndexError:
            return False

    def is_due(self) -> bool:
        """Whether something waits that is not deferred, or that has waited long enough."""
        return bool(self.waiting) and self.due_at <= time.monotonic()

    def left_s(self, *, is_left_to_loop: bool) -> float:
        """Return how many seconds the thread may still wait before it must commit the queued writes itself.

        `is_left_to_loop`: a loop commits inline, and is not held up.
        """
        try:
            first = self.waiting[0]
            # What the loop has put back is due at once, however busy the loop is.
            until = first.left_until and max(first.left_until, self.seen_at + DEFER_S)
            until = until if is_left_to_loop else self.due_at
        except IndexError:
            return 0.0
        return 0.0 if self.closing.is_set() or not self.waiting else until - time.monotonic()

    def put_off_first(self) -> QueuedWrite[Any] | None:
        """Give the loop of a deferred first write another DEFER_S, and return the write, so that the loop is called.

        Return None if the first write is not deferred, or if its loop was called before.
        """
        try:
            first = self.waiting[0]
        except IndexError:
            return None
        if not first.is_deferred or first.is_called:
            return None
        first.is_called = True
        first.left_until += DEFER_S
        return first

    def await_work(self, again_s: float | None, leaves_to_loop: Callable[[], bool]) -> None:
        """Wait until the thread has to commit something, or until `again_s` seconds have passed."""
        if not self.waiting:
            self.called.wait(again_s)
        self.called.clear()
        while (left_s := self.left_s(is_left_to_loop=(is_left := leaves_to_loop()))) > 0:
            if is_left:
                self.closing.wait(left_s)  # Calls are for the loop. Waking up for each would slow the loop.
            elif self.called.wait(min(left_s, LOOP_S)):
                self.called.clear()


def refuse_all(batch: Sequence[QueuedWrite[Any]], error: BaseException) -> None:
    """Give the callers of `batch` the error."""
    for write in batch:
        write.refuse(error)


def pop_some(waiting: deque[QueuedWrite[Any]], weight_max: int) -> list[QueuedWrite[Any]]:
    """Remove writes from the front of `waiting`, up to about `weight_max` steps, and return them."""
    popped = []
    while weight_max > 0 and waiting:
        write = waiting.popleft()
        weight_max -= write.weight
        popped.append(write)
    return popped


def deadline_in(within_s: float | None) -> float | None:
    """Return the moment `within_s` seconds from now, on the monotonic clock. None: there is no deadline."""
    return None if within_s is None else time.monotonic() + within_s


_losses_of, _command_of = attrgetter("losses"), attrgetter("command")


def results_of(batch: Sequence[QueuedWrite[Any]], transaction: Transaction) -> list[Any]:
    """Execute `batch` in `transaction` and return the results. Neighbours with the same command share one call."""
    results: list[Any] = []
    if any(map(_losses_of, batch)):
        transaction.confirm()  # A lost transaction may have been committed. Its commands then only read.
    for command, same in groupby(batch, key=_command_of):
        results += command(transaction, [write.item for write in same])
    return results


def answer(batch: Sequence[QueuedWrite[Any]], results: Sequence[Any]) -> None:
    """Give each caller its result. The tasks of one loop get theirs in one call into that loop."""
    answers_of: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for write, result in zip(batch, results, strict=True):
        if isinstance(write.future, Future):
            write.future.set_result(result)
        elif write.loop is not None:
            answers_of.setdefault(write.loop, []).append((write.future, result))
    for loop, answers in answers_of.items():
        _call_on_loop(loop, _set_results, answers)


def _call_on_loop(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
    """Call `function` on the thread of `loop`."""
    try:
        is_here = asyncio.get_running_loop() is loop
    except RuntimeError:
        is_here = False
    if is_here:
        function(*arguments)
    else:
        with suppress(RuntimeError):  # Nobody waits on a closed loop.
            loop.call_soon_threadsafe(function, *arguments)


def _set_results(answers: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in answers:
        if not future.done():
            future.set_result(result)


def _set_exception(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
