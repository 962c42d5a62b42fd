"""Detect and report an async tool that blocks the tools' loop, for example with `time.sleep`.

Lines in the log of its run, and of each run that waits behind it, say so, with `blocked_by` in their data. The API
finds them in the database, so that `why` knows of it on every server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from service.core.run import Level
from service.engine.guard.own_context import Owner, Running

BLOCKED_S, REPEAT_S = 1.0, 10.0
"""The number of seconds after which a blocked loop is reported, and the number after which it is reported again."""


class WatchedLoop(Protocol):
    """The tools' loop."""

    def has_answered(self) -> bool: ...
    def running(self) -> Running | None: ...
    def visitors(self) -> set[str]: ...


class WaitingRun(Protocol):
    """A run that waits for a blocked loop; the detector reports that to it."""

    @property
    def run_id(self) -> str: ...
    def report(self, message: str, level: Level, data: dict[str, Any]) -> None: ...


class BlockDetector:
    """Watches a loop. `check` must be called regularly from one other thread."""

    def __init__(self, loop: WatchedLoop, runs: Callable[[], Iterable[WaitingRun]]) -> None:
        """`runs` returns the runs that this server carries now."""
        self._loop = loop
        self._runs = runs
        self._seen: Running | None = None
        """What the loop was running at the last check."""
        self._seen_since = 0.0
        self._report_at = 0.0
        self._told: dict[str, WaitingRun] = {}
        """The runs that wait, and whose logs say so, by their ids."""
        self.blocker: Owner | None = None
        """The call that blocks the loop, once it has done so for BLOCKED_S."""

    def check(self) -> None:
        """Report the call whose coroutine has not awaited anything for BLOCKED_S, and the runs that wait for it."""
        running, now = self._loop.running(), time.monotonic()
        if self._loop.has_answered() or running is None or running != self._seen:
            self._report_end(now - self._seen_since)
            self._seen, self._seen_since, self._report_at = running, now, now + BLOCKED_S
        elif now >= self._report_at:
            self._report_at = now + REPEAT_S
            self.blocker = running.owner
            self.blocker.report_block(now - self._seen_since)
        if self.blocker is not None:
            self._tell_waiting(self.blocker)

    def describe(self) -> str | None:
        """Say who blocks the loop, if anybody does. Any thread may call this."""
        blocker = self.blocker
        return None if blocker is None else f"{_name(blocker)} blocks all async tools"

    def _tell_waiting(self, blocker: Owner) -> None:
        waiting = self._loop.visitors() - {blocker.run_id, *self._told}
        for run in self._runs() if waiting else ():
            if run.run_id in waiting:
                self._told[run.run_id] = run
                run.report(
                    f"waits for {_name(blocker)}, which blocks all async tools", Level.WARNING, blocked_by(blocker)
                )

    def _report_end(self, seconds: float) -> None:
        blocker, self.blocker = self.blocker, None
        if blocker is not None:
            blocker.report_end_of_block(seconds)
        for run in self._told.values():
            run.report(
                f"waits no more for an async tool that blocked all others, after {seconds:.0f} s",
                Level.INFO,
                blocked_by(None),
            )
        self._told.clear()


def blocked_by(blocker: Owner | None) -> dict[str, Any]:
    """Return the data of a line that says who blocks its run, or that nobody does any more."""
    return {"blocked_by": None if blocker is None else {"run_id": blocker.run_id, "tool": blocker.tool}}


def _name(blocker: Owner) -> str:
    return f"the async tool {blocker.tool!r:.200} of run {blocker.run_id}"
