"""Await a coroutine with its own context variables, without a new task."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Coroutine, Generator
from typing import Any, Generic, Protocol, TypeVar

from service.engine.guard import forks
from service.engine.guard.interpreter import Tracing

T = TypeVar("T")

_running: dict[int, OwnContext[Any]] = {}
"""The coroutine of a tool that is running now, by the thread of its loop."""


class Owner(Protocol):
    """The call to which a coroutine belongs."""

    def describe(self) -> str:
        """Name the tool and its run. Any thread may call this."""

    def report_block(self, seconds: float) -> None:
        """Report that the coroutine has blocked its loop for so long. Any thread may call this."""


def running_in(thread: int | None) -> OwnContext[Any] | None:
    """Return the tool's coroutine that is running in `thread` now, and so blocks its loop."""
    return None if thread is None else _running.get(thread)


class OwnContext(Generic[T]):
    """Awaits `coroutine` in `context`. A task could do this as well, but it costs iterations of the loop."""

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
                result: T = stop.value
                return result
            finally:
                _running.pop(thread, None)  # It is missing if the tool has run a nested loop.
                tracing.put_back()
            forks.end_child_that_waits()
            sent, thrown = None, None
            self.turn += 1
            try:
                sent = yield awaited
            except BaseException as error:  # For example a cancel, which the coroutine may handle.
                thrown = error
