"""Ends a server that cannot do its work, so that whoever restarts it can.

A tool in the server's own process can take away what all of it needs: a builtin function, the loops' descriptors, the
threads of the store. What is left may answer nothing, or 503 to everything, and for good.

The thread counts looks, and not seconds: so many in a row that find nothing done are the end. A process that is stopped
as a whole (SIGSTOP, a debugger, a machine that sleeps) makes no looks. The thread uses nothing that a tool can replace
by then: what it calls is bound here, and a look that fails counts as one that has found nothing done.
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
LOOKS_MAX = 30
"""Looks in a row at which a part has not done its work: half a minute."""
WORK_EVERY = 5
"""Looks from one trial of the work to the next."""
EXIT_CODE = 1

_exit, _write, _anything = os._exit, os.write, BaseException


def end_process(reason: str) -> None:
    """The end of a process that is a server of ours and nothing else."""
    try:
        _write(2, b"rungraph: " + reason.encode() + b"; it ends, so that it can be started again\n")
    finally:
        _exit(EXIT_CODE)


def say(reason: str) -> None:
    """For a process that is not ours to end."""
    _write(2, b"rungraph: " + reason.encode() + b"; the process has to be started again\n")


class _Part:
    """Something that has to be well."""

    def __init__(self, trouble: str, is_well: Callable[[], bool], *, counts: bool = True) -> None:
        self.trouble = trouble
        self.is_well = is_well
        self.counts = counts
        self.missed = 0


class Watchdog:
    """Looks every second, from `start` until `stop`."""

    def __init__(self, end: Callable[[str], None], looks_max: int | None = None) -> None:
        self._end = end
        self._looks_max = LOOKS_MAX if looks_max is None else looks_max
        self._parts = [_Part("a tool has taken a builtin function or class away", has_builtins)]
        self._stopped = threading.Lock()
        """Held until `stop`. An Event is written in Python."""
        self._stopped.acquire()
        self._thread = threading.Thread(target=self._watch, name="rungraph-watchdog", daemon=True)

    def add(self, trouble: str, is_well: Callable[[], bool], *, once_well: bool = False) -> None:
        """Look whether `is_well`; what it raises counts as no. `trouble` says what it means if it is not.

        `once_well`: what has never been well is left alone, since another start would not change that.
        """
        self._parts.append(_Part(trouble, is_well, counts=not once_well or is_well()))

    def start(self) -> None:
        self._thread.start()

    def expect_the_end(self) -> None:
        """Watch the stop alone: one that takes this long has met the same troubles."""
        self._parts = [_Part("it has not come to its end after a stop", lambda: False)]

    def stop(self) -> None:
        if self._stopped.locked():
            self._stopped.release()

    def _watch(self) -> None:
        while not self._stopped.acquire(True, LOOK_S):
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

    def _trouble(self, part: _Part) -> str:
        return f"the server could not work for {self._looks_max * LOOK_S:g} s, since {part.trouble}"


class Moves:
    """Whether a loop moves: what it is asked at one look, it has done by the next."""

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
            self._has_moved = True  # To be asked again.
            raise
        return True

    def _move(self) -> None:
        self._has_moved = True


class Works:
    """Whether `work`, tried on a loop every few looks, comes to an end and returns True."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        self._loop = loop
        self._work = work
        self._trial: Future[bool] | None = None
        self._came_well = True
        self._looks = 0
        """Since the trial began."""

    def __call__(self) -> bool:
        self._looks += 1
        if self._trial is not None and self._trial.done():
            self._came_well = not self._trial.cancelled() and self._trial.exception() is None and self._trial.result()
            self._trial = None
        if self._trial is None and self._looks >= WORK_EVERY:
            self._looks = 0
            self._trial = asyncio.run_coroutine_threadsafe(self._work(), self._loop)
        return self._came_well and self._looks <= 2 * WORK_EVERY


class Listens:
    """Whether this process listens on `port`, looked up every few looks."""

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
