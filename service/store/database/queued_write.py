"""A command that waits for its commit, and how its caller, a thread or a task, gets the result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, Generic

from service.store.database.transaction import BatchCommand, T, Transaction

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
    left_until: float = 0.0
    """Until when the writer's thread leaves this write to the loop that commits inline."""
    is_returned: bool = False
    """Whether blocked writes have given this write back, so that the writer decides what becomes of it."""
    losses: int = 0
    """How many of its transactions were lost: by a broken connection, by a deadlock, or unconfirmed by a standby."""

    @property
    def subject(self) -> str:
        """What the command is about; empty if nothing. Commands with the same subject are executed in their order."""
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


def deadline_in(within_s: float | None) -> float | None:
    """Return the moment `within_s` seconds from now, on the monotonic clock."""
    return None if within_s is None else time.monotonic() + within_s


def results_of(batch: Sequence[QueuedWrite[Any]], transaction: Transaction) -> list[Any]:
    """Execute `batch` in `transaction` and return the results. Neighbours with the same command share one call."""
    results: list[Any] = []
    if any(write.losses for write in batch):
        transaction.confirm()  # A lost transaction may have been committed, and is then only read back.
    for command, same in groupby(batch, key=attrgetter("command")):
        results += command(transaction, [write.item for write in same])
    return results


def answer(batch: Sequence[QueuedWrite[Any]], results: Sequence[Any]) -> None:
    """Give each caller its result. All tasks of one loop are answered by one call into it."""
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
