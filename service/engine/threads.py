"""Our own bounded threads for plain functions.

Daemons, and not an executor: an executor's threads are joined when the process exits, so that one tool
that blocks for good would keep a stopped server alive.
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
    """Up to `count_max` threads, started when they are needed."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._free = 0
        """Threads that wait, less the calls that wait for them."""
        self._slots = asyncio.Semaphore(count_max)
        self._left = 0
        """Calls that nobody waits for any more, and whose threads they keep."""

    async def take(self) -> None:
        """Wait for a slot: whoever has it waits for no thread. Give it back, or `call`."""
        await self._slots.acquire()

    def give_back(self) -> None:
        self._slots.release()

    def call(self, function: Callable[[], T], refuse: Callable[[], None]) -> asyncio.Future[T]:
        """Begin `function()`, which must not raise; the slot is given back once its thread is free again.

        If the future is cancelled, the function runs on, and `refuse` is told, on the loop, when its value comes.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        # What it says is the server's own, and no line of the run whose call this is.
        future.add_done_callback(self._leave, context=contextvars.Context())
        with self._lock:
            grow = self._free <= 0 and len(self._threads) < self._count_max
            if grow:
                thread = threading.Thread(target=self._serve, name="rungraph-tool", daemon=True)
                thread.start()
                self._threads.append(thread)
            self._free += grow - 1
        self._calls.put((function, loop, future, refuse))
        return future

    def close(self) -> None:
        """End the threads that are free, and wait for none that is not.

        Libraries complain of their objects when a process ends under a thread that has used them.
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
                self._free += 1
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._finish, future, value, refuse)

    def _finish(self, future: asyncio.Future[T], value: T, refuse: Callable[[], None]) -> None:
        self._slots.release()
        if future.cancelled():
            self._left -= 1
            refuse()
        else:
            future.set_result(value)

    def _leave(self, future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            self._left += 1
            if self._left == self._count_max:
                logger.error(
                    "all %d tool threads are kept by calls that timed out or were cancelled: no plain tool is called"
                    " until one of them ends",
                    self._count_max,
                )
