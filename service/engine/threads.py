"""Our own bounded threads for plain functions.

Daemons, and not an executor: an executor's threads are joined when the process exits, so that one tool
that blocks for good would keep a stopped server alive.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_Call = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class Threads:
    """Up to `count_max` threads, started when they are needed."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._calls: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._count = 0
        self._free = 0
        """Threads that wait, less the calls that wait for them."""

    async def call(self, function: Callable[[], T]) -> T:
        """The value of `function()`, which must not raise. If the caller is cancelled, it runs on unheard."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:
            grow = self._free <= 0 and self._count < self._count_max
            self._count += grow
            self._free += grow - 1
        self._calls.put((function, loop, future))
        if grow:
            threading.Thread(target=self._serve, name="rungraph-tool", daemon=True).start()
        return await future

    def _serve(self) -> None:
        while True:
            function, loop, future = self._calls.get()
            if not future.cancelled():
                value = function()
                if not loop.is_closed():
                    loop.call_soon_threadsafe(_resolve, future, value)
            with self._lock:
                self._free += 1


def _resolve(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)
