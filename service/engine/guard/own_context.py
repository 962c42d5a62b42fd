"""Await a coroutine in its own context without a new task. Find the call whose coroutine a loop is running."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Coroutine, Generator
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from weakref import WeakKeyDictionary

from service.engine.guard import forks
from service.engine.guard.interpreter import Tracing

T = TypeVar("T")

_running: dict[int, OwnContext[Any]] = {}
"""The tool's coroutine that a thread is running now, by the id of the thread."""


_owners: WeakKeyDictionary[asyncio.Task[Any], Owner] = WeakKeyDictionary()
"""For each task that a tool's coroutine has made, the call of this tool."""


class Owner(Protocol):
    """The call to which a coroutine belongs. Any thread may use it."""

    @property
    def run_id(self) -> str: ...

    @property
    def tool(self) -> str:
        """The name of the tool."""

    def report_block(self, seconds: float) -> None:
        """Report that the coroutine has blocked its loop for `seconds`."""

    def report_end_of_block(self, seconds: float) -> None:
        """Report that the coroutine no longer blocks its loop, after `seconds`."""


class Running(NamedTuple):
    """What a loop is running at one moment. Two are equal if the coroutine awaited nothing between the two moments."""

    owner: Owner
    coroutine: object
    turn: int
    """How many times the coroutine has awaited something. It is always 0 for a task that a tool made."""


def running_on(thread: int | None, loop: asyncio.AbstractEventLoop) -> Running | None:
    """Return the tool's coroutine, or the task made by one, that `loop` is running now in `thread`; None if neither."""
    own = _running.get(thread or 0)
    if own is not None:
        return Running(own.owner, own, own.turn)
    task = asyncio.current_task(loop)
    owner = None if task is None else _owners.get(task)
    return None if owner is None else Running(owner, task, 0)


def make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """Make a task. It belongs to the call whose coroutine makes it, directly or through another task."""
    task = asyncio.Task(coroutine, loop=loop, **options)
    own, parent = _running.get(threading.get_ident()), asyncio.current_task(loop)
    owner = own.owner if own is not None else None if parent is None else _owners.get(parent)
    if owner is not None:
        _owners[task] = owner
    return task


class OwnContext(Generic[T]):
    """Awaits `coroutine` in `context`. A task would do the same, but would take additional iterations of the loop."""

    __slots__ = ("_context", "_coroutine", "owner", "turn")

    def __init__(self, context: contextvars.Context, coroutine: Coroutine[Any, Any, T], owner: Owner) -> None:
        self.owner = owner
        self.turn = 0
        """How many times the coroutine has awaited something."""
        self._context = context
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, T]:
        run, coroutine, tracing = self._context.run, self._coroutine, Tracing()
        sent, thrown = None, None
        thread = threading.get_ident()
        while True:
            forks.end_child_that_waits()  # This may be a child that another tool of this loop has forked.
            _running[thread] = self
            try:
                awaited = run(coroutine.send, sent) if thrown is None else run(coroutine.throw, thrown)
            except StopIteration as stop:
                # The value is returned here because a variable that keeps `stop` would make a reference cycle: the
                # exception's traceback refers to this frame.
                return stop.value  # type: ignore[no-any-return]
            finally:
                _running.pop(thread, None)  # The entry is missing if the tool ran a nested loop.
                tracing.put_back()
            forks.end_child_that_waits()
            sent, thrown = None, None
            self.turn += 1
            try:
                sent = yield awaited
            except BaseException as error:  # For example a cancel, which the coroutine may handle.
                thrown = error
