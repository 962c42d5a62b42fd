"""Detect and report an async tool that blocks the engine's loop, for example with `time.sleep`."""

from __future__ import annotations

import time
from typing import Any

from service.engine.guard.own_context import OwnContext, running_in

BLOCKED_S, REPEAT_S = 1.0, 10.0
"""The number of seconds after which a blocked loop is reported, and the number after which it is reported again."""


class BlockDetector:
    """Watches the loop of one thread. `check` must be called regularly from one other thread."""

    def __init__(self, thread: int) -> None:
        """`thread` is the id of the thread."""
        self._thread = thread
        self._seen: tuple[OwnContext[Any], int] | None = None
        """The coroutine that ran at the last check, and how many times it had awaited something by then."""
        self._seen_since = 0.0
        self._report_at = 0.0

    def check(self) -> None:
        """Report the call whose coroutine has not awaited anything for BLOCKED_S."""
        running, now = running_in(self._thread), time.monotonic()
        seen = None if running is None else (running, running.turn)
        if seen is None or seen != self._seen:
            self._seen, self._seen_since, self._report_at = seen, now, now + BLOCKED_S
        elif now >= self._report_at:
            self._report_at = now + REPEAT_S
            seen[0].owner.report_block(now - self._seen_since)
