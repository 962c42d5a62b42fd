"""Awaiting in a context of one's own, in the same task: what a coroutine sets there, its caller never sees."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

from service.engine.guard import forks
from service.engine.guard.interpreter import Tracing

T = TypeVar("T")

_in_turn: dict[int, Within[Any]] = {}
"""Who makes a step just now, by the thread of the loop."""


def is_held(thread: int | None) -> bool:
    """Whether a coroutine makes a step in `thread` just now, which holds its loop up if it takes long."""
    return thread in _in_turn


class Within(Generic[T]):
    """Each step of `coroutine` is made in `context`. A task would do that too, for some turns of the loop."""

    __slots__ = ("_context", "_coroutine")

    def __init__(self, context: contextvars.Context, coroutine: Coroutine[Any, Any, T]) -> None:
        self._context = context
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, T]:
        run, coroutine, tracing = self._context.run, self._coroutine, Tracing()
        sent, thrown = None, None
        thread = threading.get_ident()
        while True:
            forks.end_child_that_waits()  # Another tool of this loop has forked.
            _in_turn[thread] = self
            try:
                awaited = run(coroutine.send, sent) if thrown is None else run(coroutine.throw, thrown)
            except StopIteration as stop:
                result: T = stop.value
                return result
            finally:
                _in_turn.pop(thread, None)  # Gone where a tool has run its loop within its own.
                tracing.put_back()
            forks.end_child_that_waits()
            sent, thrown = None, None
            try:
                sent = yield awaited
            except BaseException as error:  # A cancel, for the coroutine to judge.
                thrown = error
