"""Detect and report an async tool that blocks the tools' loop, for example with `time.sleep`.

The detector writes a line to the log of the tool's run and to the log of each run that waits for the loop. The data of
such a line has the key `blocked_by`. The API reads it from the database, so `why` names the tool on every server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from service.core.run import Level
from service.engine.guard.own_context import Owner, Running

BLOCKED_S, REPEAT_S = 1.0, 10.0
"""A blocked loop is reported after BLOCKED_S seconds, and again every REPEAT_S seconds."""


class WatchedLoop(Protocol):
    """The tools' loop."""

    def has_answered(self) -> bool: ...
    def running(self) -> Running | None: ...
    def visitors(self) -> set[str]: ...


class WaitingRun(Protocol):
    """A run that may wait for a blocked loop. `report` adds a line to its log."""

    @property
    def run_id(self) -> str: ...
    def report(self, message: str, level: Level, data: dict[str, Any]) -> None: ...


class BlockDetector:
    """Watches a loop. `check` must be called regularly from one other thread."""

    def __init__(self, loop: WatchedLoop, runs: Callable[[], Iterable[WaitingRun]]) -> None:
        """`runs` returns the runs that this server is executing now."""
        self._loop = loop
        self._runs = runs
        self._seen: Running | None = None
        """What the loop was running at the last check."""
        self._seen_since = 0.0
        self._report_at = 0.0
        self._told: dict[str, WaitingRun] = {}
        """The runs, by their ids, whose logs say that they wait for the blocked loop."""
        self.blocker: Owner | None = None
        """The call that has blocked the loop for at least BLOCKED_S seconds, or None."""

    def check(self) -> None:
        """Report a call whose coroutine has awaited nothing for BLOCKED_S seconds, and later the end of this block.

        The reports go to the call's run and to the runs that wait for the loop.
        """
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
        """Describe the call that blocks the loop, or return None if none does. Any thread may call this."""
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
    """Return the data of a log line that names the call that blocks the run. None: no call blocks it any more."""
    return {"blocked_by": None if blocker is None else {"run_id": blocker.run_id, "tool": blocker.tool}}


def _name(blocker: Owner) -> str:
    return f"the async tool {blocker.tool!r:.200} of run {blocker.run_id}"
