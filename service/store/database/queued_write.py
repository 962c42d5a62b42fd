"""An item that waits for its commit, and how whoever waits for it is told: a thread, or a task of some loop."""

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

from service.store.database.transaction import T, Transaction, VerbOfMany

Touched = tuple[str, ...]
"""Names of what a command touches and others may lock, as far as they are known: ids of runs and graphs, and tables
that few commands touch. First comes what it is about."""


@dataclass(slots=True, eq=False)
class Pending(Generic[T]):
    verb: VerbOfMany[Any, T]
    item: Any
    deadline: float | None
    future: Future[T] | asyncio.Future[T]
    loop: asyncio.AbstractEventLoop | None = None
    """Whose task waits; None: a thread."""
    touching: Touched = ()
    left_until: float = 0.0
    """When the writer's thread takes it, if the loop that commits inline has not."""
    is_returned: bool = False
    """Whether the lane has given it back, since it is for the writer to judge."""
    losses: int = 0
    """Transactions that were lost under it: its connection broke, or another transaction was let go first."""

    @property
    def subject(self) -> str:
        """What it is about: those about the same are done in their order. Empty: nothing that others are about."""
        return self.touching[0] if self.touching else ""

    def is_wanted(self) -> bool:
        """Whether it is to be done. Once this is true for a thread's, nobody can cancel it."""
        if isinstance(self.future, Future):
            return self.future.running() or (not self.future.done() and self.future.set_running_or_notify_cancel())
        return not self.future.done()

    def is_overdue(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def refuse(self, error: BaseException) -> None:
        if isinstance(self.future, Future):
            if self.is_wanted():
                self.future.set_exception(error)
        elif self.loop is not None:
            _on_loop(self.loop, _set_exception, self.future, error)


def deadline_in(within_s: float | None) -> float | None:
    """The moment `within_s` seconds from now, on the monotonic clock."""
    return None if within_s is None else time.monotonic() + within_s


def results_of(batch: Sequence[Pending[Any]], transaction: Transaction) -> list[Any]:
    """The results of `batch`, done but not yet committed: neighbours with the same verb in one go."""
    results: list[Any] = []
    if any(pending.losses for pending in batch):
        transaction.confirm()  # What was lost may be there, and is only read back.
    for verb, same in groupby(batch, key=attrgetter("verb")):
        results += verb(transaction, [pending.item for pending in same])
    return results


def answer(batch: Sequence[Pending[Any]], results: Sequence[Any]) -> None:
    """Tell each its result: a call into a loop is one for all that wait there."""
    of_loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for pending, result in zip(batch, results, strict=True):
        if isinstance(pending.future, Future):
            pending.future.set_result(result)
        elif pending.loop is not None:
            of_loops.setdefault(pending.loop, []).append((pending.future, result))
    for loop, answers in of_loops.items():
        _on_loop(loop, _set_results, answers)


def _on_loop(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
    """Call `function` on the thread of `loop`."""
    try:
        is_here = asyncio.get_running_loop() is loop
    except RuntimeError:
        is_here = False
    if is_here:
        function(*arguments)
    else:
        with suppress(RuntimeError):  # A loop that is closed has nobody waiting.
            loop.call_soon_threadsafe(function, *arguments)


def _set_results(answers: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in answers:
        if not future.done():
            future.set_result(result)


def _set_exception(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
