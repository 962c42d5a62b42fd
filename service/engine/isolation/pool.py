"""Tools in processes of their own, from a small pool: what such a tool does to its process hurts nobody else.

A process is started on demand and serves one call at a time; one that has died is replaced by the next call.
Where none can be started, calls wait: that is no fault of their tools', and fails no run.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from service.core.moves import CallTool, Outcome, ProcessDied
from service.core.run import Level
from service.engine.call import timed_out
from service.engine.guard.lifeline import Lifeline
from service.engine.isolation.messages import Message
from service.engine.isolation.worker import Order, Origin, Process, Unbegun
from service.engine.lines import LineBuffer

ISOLATED_MAX = 16
"""Processes at a time; further calls wait for one."""
IDLE_MAX = 4
"""Processes that are kept while there is nothing to call."""
TRIES = 3
"""Processes that a call may find dead before it begins."""
PAUSE_S_MIN, PAUSE_S_MAX = 0.5, 30.0
"""Between two tries to start a process where none can be started."""
CLOSE_S = 0.5

logger = logging.getLogger(__name__)


class Isolation:
    """The pool. Called on the engine's loop, closed from any thread."""

    def __init__(self, command: Sequence[str], state_bytes_max: int, tools: Callable[[], Any] = dict) -> None:
        """`command` starts a process that does `isolated.serve`; it finds the modules that are found here and now.

        `tools` says, as JSON, what such a process has to load.
        """
        self._origin = Origin.here(command, tools)
        # A state comes as texts within a text: each character may be escaped, and each key has a few numbers.
        self._message_bytes_max = 8 * state_bytes_max + 2**20
        self._slots = asyncio.Semaphore(ISOLATED_MAX)
        self._pause_s = 0.0
        """How long to wait before the next try to start a process; 0: they start."""
        self._one_tries = asyncio.Lock()
        self._refusal = ""
        """Why none could be started, as the server's log has it."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._idle: list[Process] = []
        self._busy: set[Process] = set()
        """Those that hold a slot."""
        self._closed = False
        self._lifeline: Lifeline | None = None
        """Made for the first process."""

    async def call(
        self, request: Message, move: CallTool, lines: LineBuffer, begin: Callable[[], Awaitable[None]]
    ) -> Outcome:
        """Have `request` served, `begin` being awaited before. If the caller is cancelled, the process is killed."""
        self._loop = asyncio.get_running_loop()
        has_begun = False
        because = ""
        for _ in range(TRIES):
            process = await self._ready(lines)
            order: Order | None = None
            try:
                if not has_begun:
                    await begin()
                    has_begun = True
                order = Order(request, lines, move.timeout_s, timed_out(move))
                process.call(order)
                came = await asyncio.wrap_future(order.came)
            except BaseException:
                if order is None:
                    process.end()
                else:
                    process.give_up(order)  # It may have come out by now, and serve somebody else.
                raise
            if not isinstance(came, Unbegun):
                return came
            because = came.message
        return ProcessDied(f"the tool's process died before it began: {because}")

    def close(self) -> None:
        """End all processes at once; from now on nothing is called."""
        with self._lock:
            self._closed = True
            processes = [*self._idle, *self._busy]
        for process in processes:
            process.end()
        end = time.monotonic() + CLOSE_S
        for process in processes:
            process.join(max(0.0, end - time.monotonic()))
        if self._lifeline is not None:
            self._lifeline.close()

    async def _ready(self, lines: LineBuffer) -> Process:
        """A process that can be called, as soon as one can be started."""
        told = ""
        while True:
            async with self._turn() as pause_s:
                process = await self._take()
                try:
                    refusal = await asyncio.wrap_future(process.started)
                except BaseException:
                    process.end()
                    raise
                if refusal is None:
                    self._pause_s, self._refusal = 0.0, ""
                    return process
                self._pause_s = min(2 * pause_s, PAUSE_S_MAX) or PAUSE_S_MIN
            message = f"no process for the tool could be started: {refusal}"
            if refusal != self._refusal:
                self._refusal = refusal
                logger.warning("isolated tools wait, %s; it is tried again", message)
            if refusal != told:
                told = refusal
                lines.add(f"the tool waits: {message}", Level.WARNING)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[float]:
        """Let all start processes at once, or where they could not be started one at a time, after a pause."""
        if not self._pause_s:
            yield 0.0
            return
        async with self._one_tries:
            pause_s = self._pause_s  # 0 where another one could start meanwhile.
            await asyncio.sleep(pause_s)
            yield pause_s

    async def _take(self) -> Process:
        await self._slots.acquire()
        try:
            with self._lock:
                if self._closed:
                    raise asyncio.CancelledError
                if self._idle:
                    process = self._idle.pop()
                else:
                    self._lifeline = self._lifeline or Lifeline()
                    process = Process(self._origin, self._lifeline, self._message_bytes_max, home=self)
                    process.start()
                self._busy.add(process)
                return process
        except BaseException:
            self._slots.release()
            raise

    # What a process's thread asks of its home.

    def keep(self, process: Process) -> bool:
        with self._lock:
            if self._closed or len(self._idle) >= IDLE_MAX:
                return False
            self._busy.remove(process)
            self._idle.append(process)
        self._release()
        return True

    def leave(self, process: Process) -> bool:
        with self._lock:
            if process not in self._idle:
                return False
            self._idle.remove(process)
            return True

    def gone(self, process: Process) -> None:
        with self._lock:
            was_busy = process in self._busy
            self._busy.discard(process)
        if was_busy:
            self._release()

    def _release(self) -> None:
        with suppress(RuntimeError):  # The loop is closed.
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._slots.release)
