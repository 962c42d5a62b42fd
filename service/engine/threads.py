"""A bounded pool of daemon threads that call plain tools.

A ThreadPoolExecutor would not do: Python joins its threads at exit, so a tool that never returns would keep a stopped
server alive.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")

_Call = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], None]]
CLOSE_S = 0.5


class Threads:
    """Up to `count_max` threads, which are started on demand."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        """The number of idle threads minus the number of queued calls."""
        self._slots = asyncio.Semaphore(count_max)
        self._abandoned = 0
        """The number of calls that timed out or were cancelled and still occupy a thread."""

    async def take(self) -> None:
        """Wait until a thread is available, and reserve it. Then use it with `call`, or return it with `give_back`."""
        await self._slots.acquire()

    def give_back(self) -> None:
        self._slots.release()

    def call(self, function: Callable[[], T], refuse: Callable[[], None]) -> asyncio.Future[T]:
        """Call `function()`, which must not raise, on the thread that `take` has reserved. Then give the thread back.

        If the future is cancelled, the function runs on, and `refuse` is called on the loop when the function returns.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        # An empty context, so that what `_count_abandoned` logs is not a line of the run.
        future.add_done_callback(self._count_abandoned, context=contextvars.Context())
        with self._lock:
            grow = self._idle <= 0 and len(self._threads) < self._count_max
            if grow:
                thread = threading.Thread(target=self._serve, name="rungraph-tool", daemon=True)
                thread.start()
                self._threads.append(thread)
            self._idle += grow - 1
        self._calls.put((function, loop, future, refuse))
        return future

    def close(self) -> None:
        """End the idle threads, and wait at most CLOSE_S for them.

        Some libraries warn about their objects if the process ends while a thread that used them is alive.
        """
        for _ in self._threads:
            self._calls.put(None)
        end = time.monotonic() + CLOSE_S
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            function, loop, future, refuse = call
            value = function()
            with self._lock:
                self._idle += 1
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._finish, future, value, refuse)

    def _finish(self, future: asyncio.Future[T], value: T, refuse: Callable[[], None]) -> None:
        self._slots.release()
        if future.cancelled():
            self._abandoned -= 1
            refuse()
        else:
            future.set_result(value)

    def _count_abandoned(self, future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            self._abandoned += 1
            if self._abandoned == self._count_max:
                logger.error(
                    "all %d tool threads are kept by calls that timed out or were cancelled: no plain tool is called"
                    " until one of them ends",
                    self._count_max,
                )
