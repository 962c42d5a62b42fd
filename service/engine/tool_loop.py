"""The loop on which async tools are called. It has its own thread, so that they cannot block the engine's loop.

A run whose next node calls an async tool without a timeout is executed on this loop, so that its steps do not move from
thread to thread. At a node of another kind, the run returns to the engine's loop. A call that has a timeout is awaited
on the engine's loop, so that it times out even if this loop is blocked.

All async tools share one loop, because an object of asyncio belongs to one loop, and runs may share such objects.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any, Generic, TypeVar

from service.engine.call import CallInterrupted
from service.engine.guard import forks
from service.engine.guard.own_context import Running, make_task, running_on

logger = logging.getLogger(__name__)

T = TypeVar("T")

CLOSE_S = 0.5
"""How long `close` waits for a tool to end."""
REBUILD_S = 0.1
"""The pause before a broken loop is rebuilt."""


class ToolLoopBroken(CallInterrupted):
    """Raised in the runs on the loop if a tool has ended the loop, and in a run whose task a tool has cancelled."""


class ToolLoop:
    """The tools' loop. It runs from `start` until `close`. Create it on the engine's loop, and call `visit` there."""

    def __init__(self, committing: Callable[[], AbstractContextManager[None]]) -> None:
        """`committing` returns a context manager, which is active on the loop for as long as the loop runs."""
        self._committing = committing
        self._home = _Calls(asyncio.get_running_loop())
        self._calls: _Calls | None = None
        """None while the loop is being rebuilt."""
        self._visits: set[Visit[Any]] = set()
        self._answered_at = self._asked_at = 0.0
        self._is_closing = threading.Event()
        self._closed = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._work, name="rungraph-async-tools", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def close(self) -> None:
        """End the loop and cancel its tasks. Wait at most CLOSE_S for tools that block or ignore their cancel."""
        self._is_closing.set()
        self._call(self._closed.set)
        self._thread.join(CLOSE_S)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def visit(self, run_id: str, function: Callable[[], Coroutine[Any, Any, T]]) -> Visit[T]:
        """Begin to await `function()` on this loop, for the run `run_id`. Return at once."""
        visit = Visit(run_id, function, self._home, self._call)
        self._visits.add(visit)
        visit.outcome.add_done_callback(lambda _: self._visits.discard(visit))
        self._call(visit.begin)
        return visit

    def visitors(self) -> set[str]:
        """Return the ids of the runs that are on the loop, or wait for it. Any thread may call this."""
        return {visit.run_id for visit in list(self._visits)}

    def running(self) -> Running | None:
        """Return the tool's coroutine or task that the loop is running now, or None. Any thread may call this."""
        return None if self._calls is None else running_on(self._thread.ident, self._calls.loop)

    def has_answered(self) -> bool:
        """Return False if the loop has visits and has not answered the last request. Otherwise return True.

        A call that returns True sends the next request if the loop has visits. Only one thread may call this.
        """
        if not self._visits:
            self._asked_at = 0.0  # The next call with a visit sends a request.
            return True
        if self._answered_at >= self._asked_at:
            self._asked_at = time.monotonic()
            self._call(self._answer)
            return True
        return False

    def _answer(self) -> None:
        self._answered_at = time.monotonic()

    def _call(self, function: Callable[[], object]) -> None:
        if (calls := self._calls) is not None:
            calls.add(function)

    def _work(self) -> None:
        while not self._is_closing.is_set():
            try:
                runner = asyncio.Runner()
                self._serve(runner.get_loop())
                runner.close()  # This cancels the tasks that tools have left behind.
            except BaseException as error:
                forks.end_child(error)
                logger.error("a tool has broken the loop of the async tools: %s", error or type(error).__name__)
                self._break_off()
                self._is_closing.wait(REBUILD_S)

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.set_task_factory(make_task)
        self._closed = asyncio.Event()
        self._calls = _Calls(loop)
        self._home.add(self._begin_visits)  # Visits may have come while there was no loop.
        # A tool can cancel all tasks of the loop, even that of `_stay`.
        while not self._execute(loop.create_task(self._stay())):
            logger.error("a tool cancelled all tasks of the loop of the async tools")

    def _begin_visits(self) -> None:
        for visit in self._visits:
            self._call(visit.begin)

    def _break_off(self) -> None:
        """Abandon the broken loop, and end its visits as ToolLoopBroken."""
        calls, self._calls = self._calls, None
        self._ready.set()
        if calls is not None:
            self._home.add(partial(self._end_visits, calls.loop))
            with suppress(Exception):
                calls.loop.close()

    def _end_visits(self, broken: asyncio.AbstractEventLoop) -> None:
        for visit in list(self._visits):
            if visit.loop is broken:
                visit.break_off()

    async def _stay(self) -> None:
        with self._committing():
            self._ready.set()
            if not self._is_closing.is_set():
                await self._closed.wait()

    def _execute(self, main: asyncio.Task[None]) -> bool:
        """Run the loop until `main` is done. Return False if a tool has cancelled `main` before `close` was called."""
        loop = main.get_loop()
        while not main.done():
            try:
                loop.run_until_complete(main)
            except asyncio.CancelledError:
                break
            except (SystemExit, KeyboardInterrupt, RuntimeError) as error:
                forks.end_child()
                if loop.is_closed():
                    raise
                # A task that a tool left behind has raised this, or a tool has called `loop.stop`. The loop can go on.
                logger.error("a tool stopped the loop of the async tools: %s", type(error).__name__)
        return self._is_closing.is_set() or not main.cancelled()


class Visit(Generic[T]):
    """A coroutine on the tools' loop, and its outcome on the engine's loop."""

    __slots__ = ("_call", "_function", "_home", "_is_cancelled", "_task", "loop", "outcome", "run_id")

    def __init__(
        self,
        run_id: str,
        function: Callable[[], Coroutine[Any, Any, T]],
        home: _Calls,
        call: Callable[[Callable[[], object]], None],
    ) -> None:
        self.run_id = run_id
        self.outcome: asyncio.Future[T] = home.loop.create_future()
        """Raises ToolLoopBroken if the loop was broken, or if something other than `leave` cancelled the coroutine."""
        self.loop: asyncio.AbstractEventLoop | None = None
        """The loop on which the coroutine has begun; None if it has not begun."""
        self._function = function
        self._home = home
        self._call = call
        self._task: asyncio.Task[T] | None = None
        self._is_cancelled = False

    async def end(self) -> T:
        """Wait for the result and return it. If the caller is cancelled, cancel the coroutine without awaiting it."""
        try:
            return await self.outcome
        except asyncio.CancelledError:
            self.leave()
            raise

    def cancel(self) -> None:
        """Cancel the coroutine, or do not begin it. `outcome` is still set."""
        self._is_cancelled = True
        self._call(self._cancel)

    def leave(self) -> None:
        """Cancel the coroutine and `outcome`, because nobody waits for the outcome any more."""
        self.outcome.cancel()
        self.cancel()

    def begin(self) -> None:
        """Begin the coroutine unless it has begun or was cancelled. Call this on the tools' loop."""
        if self._is_cancelled:
            self._home.add(self.break_off)
        elif self._task is None and not self.outcome.done():
            self.loop = asyncio.get_running_loop()
            self._task = self.loop.create_task(self._function())
            self._task.add_done_callback(lambda _: self._home.add(self._answer))

    def break_off(self) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(ToolLoopBroken("a tool has broken the loop of the async tools"))

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _answer(self) -> None:
        task = self._task
        assert task is not None
        error = None if task.cancelled() else task.exception()
        if self.outcome.done():
            return
        if task.cancelled():
            self.break_off()
        elif error is not None:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(task.result())


class _Calls:
    """Calls functions on a loop for other threads. All functions that wait are called in one wake-up of the loop."""

    __slots__ = ("_is_called", "_waiting", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: deque[Callable[[], object]] = deque()
        self._is_called = False

    def add(self, function: Callable[[], object]) -> None:
        """Have the loop call `function`. Do nothing if the loop is closed."""
        self._waiting.append(function)
        if not self._is_called:
            self._is_called = True
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._call_all)

    def _call_all(self) -> None:
        self._is_called = False  # First: a function that is added from now on may need another wake-up.
        for _ in range(len(self._waiting)):
            self._waiting.popleft()()
