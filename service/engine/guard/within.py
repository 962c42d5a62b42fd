"""Awaiting in a context of one's own, in the same task: what a coroutine sets there, its caller never sees."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Coroutine, Generator
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from service.engine.guard import forks
from service.engine.guard.interpreter import Tracing

T = TypeVar("T")


class Holder(Protocol):
    """Who may hold a loop up."""

    def say_that_it_holds_up(self, seconds: float) -> None:
        """Tell whom it concerns. From any thread."""


class Holding(NamedTuple):
    """One step of a coroutine: until it awaits, nothing else on its loop goes on."""

    who: Holder
    turn: int


_holding: dict[int, Holding] = {}
"""Who makes a step just now, by the thread of the loop."""


def holding(thread: int | None) -> Holding | None:
    """Who makes a step in `thread` just now."""
    return None if thread is None else _holding.get(thread)


class Within(Generic[T]):
    """Each step of `coroutine` is made in `context`. A task would do that too, for some turns of the loop."""

    __slots__ = ("_context", "_coroutine", "_who")

    def __init__(self, context: contextvars.Context, coroutine: Coroutine[Any, Any, T], who: Holder) -> None:
        self._context = context
        self._coroutine = coroutine
        self._who = who

    def __await__(self) -> Generator[Any, Any, T]:
        run, coroutine, tracing = self._context.run, self._coroutine, Tracing()
        sent, thrown = None, None
        thread, turn = threading.get_ident(), 0
        while True:
            forks.end_child_that_waits()  # Another tool of this loop has forked.
            _holding[thread] = Holding(self._who, turn)
            try:
                awaited = run(coroutine.send, sent) if thrown is None else run(coroutine.throw, thrown)
            except StopIteration as stop:
                result: T = stop.value
                return result
            finally:
                _holding.pop(thread, None)  # Gone where a tool has run its loop within its own.
                tracing.put_back()
            forks.end_child_that_waits()
            sent, thrown = None, None
            turn += 1
            try:
                sent = yield awaited
            except BaseException as error:  # A cancel, for the coroutine to judge.
                thrown = error
