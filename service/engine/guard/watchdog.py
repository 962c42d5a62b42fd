"""End a server that can no longer work, so that it is restarted.

A tool in the server's own process can destroy what the server needs: a builtin function, the descriptors of the loops,
the threads of the store. Such a server might never answer again, or answer 503 to everything.

The watchdog's thread counts checks, not seconds: it ends the process when a check has failed LOOKS_MAX times in a row.
A process that is stopped as a whole (SIGSTOP, a debugger, a sleeping machine) makes no checks. The thread uses only
names that are bound in this module, since a tool may have replaced others. A check that raises counts as failed.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from service.engine.guard.descriptors import is_listening
from service.engine.guard.interpreter import has_builtins

LOOK_S = 1.0
"""The pause between two checks."""
LOOKS_MAX = 30
"""How many times in a row a check fails before the process ends. This takes half a minute."""
WORK_EVERY = 5
"""The number of checks from one trial of WorkCheck or ListenCheck to the next."""
EXIT_CODE = 1

_exit, _write, _anything = os._exit, os.write, BaseException


def end_process(reason: str) -> None:
    """Write `reason` to stderr and end the process. This is for a process that does nothing but serve Rungraph."""
    try:
        _write(2, b"rungraph: " + reason.encode() + b"; it ends, so that it can be started again\n")
    finally:
        _exit(EXIT_CODE)


def report_trouble(reason: str) -> None:
    """Write to stderr that the process must be restarted. This is for a process that does other work as well."""
    _write(2, b"rungraph: " + reason.encode() + b"; the process has to be started again\n")


class _Part:
    """A part of the server that is checked."""

    def __init__(self, trouble: str, is_well: Callable[[], bool], *, counts: bool = True) -> None:
        self.trouble = trouble
        self.is_well = is_well
        self.counts = counts
        self.missed = 0


class Watchdog:
    """Checks the parts of a server every second, from `start` until `stop`."""

    def __init__(self, end: Callable[[str], None], looks_max: int | None = None) -> None:
        self._end = end
        self._looks_max = LOOKS_MAX if looks_max is None else looks_max
        self._parts = [_Part("a tool has taken a builtin function or class away", has_builtins)]
        self._stopped = threading.Lock()
        """Held until `stop`. An Event would use Python code that a tool can replace."""
        self._stopped.acquire()
        self._thread = threading.Thread(target=self._watch, name="rungraph-watchdog", daemon=True)

    def add(self, trouble: str, is_well: Callable[[], bool], *, once_well: bool = False) -> None:
        """Check `is_well` every second; an exception counts as False. `trouble` describes the fault.

        With `once_well`, failures are ignored until `is_well` has returned True once. A restart would not help a part
        that has never been well.
        """
        self._parts.append(_Part(trouble, is_well, counts=not once_well or is_well()))

    def start(self) -> None:
        self._thread.start()

    def expect_the_end(self) -> None:
        """Replace all checks by one that always fails, so that the process ends in time even if its stop hangs."""
        self._parts = [_Part("it did not end after a stop", lambda: False)]

    def stop(self) -> None:
        if self._stopped.locked():
            self._stopped.release()

    def _watch(self) -> None:
        while not self._is_stopped():
            for part in self._parts:
                try:
                    is_well = part.is_well()
                except _anything:
                    is_well = False
                if is_well:
                    part.counts, part.missed = True, 0
                elif part.counts:
                    part.missed += 1
                    if part.missed == self._looks_max:
                        self._end(self._trouble(part))
        self._stopped.release()

    def _is_stopped(self) -> bool:
        """Wait until the next check is due, then return False. Return True as soon as `stop` is called."""
        try:
            return self._stopped.acquire(True, LOOK_S)
        except _anything:  # A tool may raise an exception in all threads (ctypes).
            return False

    def _trouble(self, part: _Part) -> str:
        return f"the server could not work for {self._looks_max * LOOK_S:g} s, because {part.trouble}"


class LoopCheck:
    """Checks that a loop runs: the callback that one check schedules must have run when the next check is made."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._has_moved = True

    def __call__(self) -> bool:
        if not self._has_moved:
            return False
        self._has_moved = False
        try:
            self._loop.call_soon_threadsafe(self._move)
        except _anything:
            self._has_moved = True  # Schedule the callback again at the next check.
            raise
        return True

    def _move(self) -> None:
        self._has_moved = True


class WorkCheck:
    """Checks that `work`, which is tried on a loop every few checks, ends in time and returns True.

    A trial takes several iterations of the loop. If one iteration takes longer than the pause between two checks, the
    loop is busy, which is no fault of the process, so the check then succeeds. LoopCheck finds a loop that does not
    run at all.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        self._loop = loop
        self._work = work
        self._is_prompt = LoopCheck(loop)
        self._trial: Future[bool] | None = None
        self._came_well = True
        self._looks = 0
        """How many checks were made since the last trial began."""

    def __call__(self) -> bool:
        self._looks += 1
        if self._trial is not None and self._trial.done():
            self._came_well = not self._trial.cancelled() and self._trial.exception() is None and self._trial.result()
            self._trial = None
        if self._trial is None and self._looks >= WORK_EVERY:
            self._looks = 0
            self._trial = asyncio.run_coroutine_threadsafe(self._work(), self._loop)
        is_well = self._came_well and self._looks <= 2 * WORK_EVERY
        return not self._is_prompt() or is_well


class ListenCheck:
    """Checks, every few seconds, that this process listens on `port`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._looks = 0
        self._is_listening = False

    def __call__(self) -> bool:
        if self._looks % WORK_EVERY == 0:
            self._is_listening = False
            self._is_listening = is_listening(self._port)
        self._looks += 1
        return self._is_listening
