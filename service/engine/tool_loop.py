"""The loop on which async tools are called, in a thread of its own, so that a tool that blocks it holds up no other.

A run whose next node is an async tool without a timeout is carried here, so that its steps hop between no threads. It
returns to the engine's loop at a node of another kind. A call that has a timeout is awaited on the engine's loop, where
its time passes whatever this loop does.

There is one such loop: objects of asyncio belong to one loop, and tools share them between their runs.
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
    """A tool ended the loop, or cancelled tasks of others on it: it is unknown how far they came."""


class ToolLoop:
    """Runs from `start` until `close`. Make it on the engine's loop, and call `visit` there."""

    def __init__(self, committing: Callable[[], AbstractContextManager[None]]) -> None:
        """`committing` is entered on the loop for as long as it runs."""
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
        """End the loop and cancel its tasks. A tool that blocks, or ignores its cancel, is not waited for."""
        self._is_closing.set()
        self._call(self._closed.set)
        self._thread.join(CLOSE_S)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def visit(self, run_id: str, function: Callable[[], Coroutine[Any, Any, T]]) -> Visit[T]:
        """Await `function()`, which belongs to a run, on this loop."""
        visit = Visit(run_id, function, self._home, self._call)
        self._visits.add(visit)
        visit.outcome.add_done_callback(lambda _: self._visits.discard(visit))
        self._call(visit.begin)
        return visit

    def visitors(self) -> set[str]:
        """Return the ids of the runs that are on the loop, or wait for it. Any thread may call this."""
        return {visit.run_id for visit in list(self._visits)}

    def running(self) -> Running | None:
        """Return what a tool is running on the loop now. Any thread may call this."""
        return None if self._calls is None else running_on(self._thread.ident, self._calls.loop)

    def has_answered(self) -> bool:
        """Return whether nobody visits the loop, or it has answered since the last call. One thread may call this."""
        if not self._visits:
            self._asked_at = 0.0  # The loop is asked when somebody visits it.
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
                runner.close()  # It cancels what tools have left behind.
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
        # A tool can cancel all tasks of the loop, this one too.
        while not self._execute(loop.create_task(self._stay())):
            logger.error("a tool cancelled all tasks of the loop of the async tools")

    def _begin_visits(self) -> None:
        for visit in self._visits:
            self._call(visit.begin)

    def _break_off(self) -> None:
        """Leave the broken loop and all that is on it."""
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
        """Run the loop until `main` is done; return False if a tool has cancelled it."""
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
                # It comes from a task that a tool left behind, or from its loop.stop(). The loop can go on.
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
        """It ends as ToolLoopBroken if the coroutine was cancelled by something else than `leave`."""
        self.loop: asyncio.AbstractEventLoop | None = None
        """The loop on which the coroutine has begun."""
        self._function = function
        self._home = home
        self._call = call
        self._task: asyncio.Task[T] | None = None
        self._is_cancelled = False

    async def end(self) -> T:
        """Return the result. If the caller is cancelled, so is the coroutine, but the caller does not wait for it."""
        try:
            return await self.outcome
        except asyncio.CancelledError:
            self.leave()
            raise

    def cancel(self) -> None:
        """Cancel the coroutine, or do not begin it; its outcome still counts."""
        self._is_cancelled = True
        self._call(self._cancel)

    def leave(self) -> None:
        """Cancel the coroutine, and wait for no outcome."""
        self.outcome.cancel()
        self.cancel()

    def begin(self) -> None:
        """Called on the tools' loop, perhaps more than once."""
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
    """Calls functions on a loop for other threads. All that wait take one wake-up of the loop."""

    __slots__ = ("_is_called", "_waiting", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: deque[Callable[[], object]] = deque()
        self._is_called = False

    def add(self, function: Callable[[], object]) -> None:
        """Call `function` on the loop, unless it has ended."""
        self._waiting.append(function)
        if not self._is_called:
            self._is_called = True
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._call_all)

    def _call_all(self) -> None:
        self._is_called = False  # First: what is added from now on may come too late for this call.
        for _ in range(len(self._waiting)):
            self._waiting.popleft()()
