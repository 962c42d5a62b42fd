"""Call isolated tools in a small pool of processes, so that a tool can damage no more than its own process.

A process is started on demand and makes one call at a time. A process that has died is replaced at the next call. If
no process can be started, calls wait and no run fails, since the tools are not at fault.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from service.core.moves import CallTool, Outcome, ProcessDied
from service.core.run import Level
from service.engine.guard.lifeline import Lifeline
from service.engine.isolation.launcher import SECRETS, Launcher
from service.engine.isolation.messages import Message
from service.engine.isolation.worker import NotStarted, ProcessCall, ToolProcess
from service.engine.lines import LineBuffer
from service.engine.timeouts import timed_out

ISOLATED_MAX = 16
"""The most processes that make calls at the same time. Further calls wait for a free one."""
IDLE_MAX = 4
"""The most idle processes that are kept."""
TRIES = 3
"""How many processes are tried for a call. The call fails if each of them ends before the call begins."""
PAUSE_S_MIN, PAUSE_S_MAX = 0.5, 30.0
"""The shortest and the longest pause before the next attempt to start a process, after one that has failed."""
CLOSE_S = 0.5
"""How long `close` waits for the processes to end."""

logger = logging.getLogger(__name__)


class ProcessPool:
    """A pool of processes. `call` is awaited on the engine's loop; any thread may call `close`."""

    def __init__(
        self,
        command: Sequence[str],
        state_bytes_max: int,
        tools: Callable[[], Any] = dict,
        secrets: Collection[str] = SECRETS,
    ) -> None:
        """`command` starts a process that runs `isolation.main.serve`.

        `tools` returns, as JSON, what such a process has to load. `secrets` are the variables that no process inherits.
        """
        self._launcher = Launcher.here(command, tools, secrets)
        # A state is sent as JSON within JSON: each character may be escaped, and each key comes with a few numbers.
        self._message_bytes_max = 8 * state_bytes_max + 2**20
        self._slots = asyncio.Semaphore(ISOLATED_MAX)
        self._pause_s = 0.0
        """How long to wait before the next attempt to start a process; 0 unless the last one failed."""
        self._one_tries = asyncio.Lock()
        self._refusal = ""
        """Why no process can be started, as last logged by the server."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._idle: list[ToolProcess] = []
        self._busy: set[ToolProcess] = set()
        """The processes that each occupy one of `_slots`."""
        self._closed = False
        self._lifeline: Lifeline | None = None
        """Created with the first process."""

    async def call(
        self, request: Message, move: CallTool, lines: LineBuffer, begin: Callable[[], Awaitable[None]]
    ) -> Outcome:
        """Have a process make the call in `request`, after awaiting `begin`. If cancelled, kill the process."""
        self._loop = asyncio.get_running_loop()
        has_begun = False
        because = ""
        for _ in range(TRIES):
            process = await self._ready(lines)
            call: ProcessCall | None = None
            try:
                if not has_begun:
                    await begin()
                    has_begun = True
                call = ProcessCall(request, lines, move.timeout_s, timed_out(move))
                process.call(call)
                outcome = await asyncio.wrap_future(call.outcome)
            except BaseException:
                if call is None:
                    process.end()
                else:
                    process.give_up(call)  # Does nothing if the process already serves another call.
                raise
            if not isinstance(outcome, NotStarted):
                return outcome
            because = outcome.message
        return ProcessDied(f"the tool's process died before the call began: {because}")

    def close(self) -> None:
        """Kill all processes at once, and refuse further calls."""
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

    async def _ready(self, lines: LineBuffer) -> ToolProcess:
        """Return a process that can be called. If none can be started, try again until one can."""
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
                logger.warning("isolated tools wait and will be retried: %s", message)
            if refusal != told:
                told = refusal
                lines.add(f"the tool waits: {message}", Level.WARNING)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[float]:
        """Wait until a process may be started, and yield the length of the pause before that in seconds.

        There is no pause unless the last start has failed. Then only one call at a time tries to start a process.
        """
        if not self._pause_s:
            yield 0.0
            return
        async with self._one_tries:
            pause_s = self._pause_s  # 0 if another call has started a process in the meantime.
            await asyncio.sleep(pause_s)
            yield pause_s

    async def _take(self) -> ToolProcess:
        await self._slots.acquire()
        try:
            with self._lock:
                if self._closed:
                    raise asyncio.CancelledError
                if self._idle:
                    process = self._idle.pop()
                else:
                    self._lifeline = self._lifeline or Lifeline()
                    process = ToolProcess(self._launcher, self._lifeline, self._message_bytes_max, owner=self)
                    process.start()
                self._busy.add(process)
                return process
        except BaseException:
            self._slots.release()
            raise

    # The threads of the processes call the following methods; see ProcessOwner.

    def take_back(self, process: ToolProcess) -> bool:
        with self._lock:
            if self._closed or len(self._idle) >= IDLE_MAX:
                return False
            self._busy.remove(process)
            self._idle.append(process)
        self._release()
        return True

    def retire(self, process: ToolProcess) -> bool:
        with self._lock:
            if process not in self._idle:
                return False
            self._idle.remove(process)
            return True

    def forget(self, process: ToolProcess) -> None:
        with self._lock:
            was_busy = process in self._busy
            self._busy.discard(process)
        if was_busy:
            self._release()

    def _release(self) -> None:
        with suppress(RuntimeError):  # The loop may be closed.
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._slots.release)
