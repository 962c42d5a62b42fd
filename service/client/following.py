"""Read what takes several calls: the pages of a list, or the log of a run that is not over."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from service.client.errors import ApiError, ServerUnreachable
from service.client.messages import JsonObject, Request
from service.client.retrying import NOT_NOW, PAUSE_S_MAX, PAUSE_S_MIN
from service.core.errors import NotFound

MOVING = frozenset({"queued", "running", "waiting"})
"""The statuses of a run that is neither over nor paused."""
POLL_S_MIN, POLL_S_MAX = 0.02, 0.5


async def items_of(
    ask: Callable[[Request], Awaitable[JsonObject]], page_after: Callable[[Any], Request]
) -> AsyncIterator[JsonObject]:
    """Yield the items of all pages. `page_after` returns the call for the page after a cursor (None: the first)."""
    cursor = None
    while True:
        page = await ask(page_after(cursor))
        for item in page["items"]:
            yield item
        if (cursor := page["next_cursor"]) is None:
            return


class Cursor:
    """Tracks how far a log has been read, and for how long the server has been unreachable."""

    def __init__(self, seq: int, patience_s: float = 0.0) -> None:
        self.seq = seq
        """The `seq` of the last line that was read."""
        self.is_at_end = False
        self._last_seq: int | None = None
        self._patience_s = patience_s
        self._gone_since: float | None = None
        self._pause_s = PAUSE_S_MIN

    def note_connection(self) -> None:
        """Note that the server has answered. The next failure begins a new period of `patience_s` seconds."""
        self._gone_since, self._pause_s = None, PAUSE_S_MIN

    def is_new(self, line: JsonObject) -> bool:
        """Return whether `line` comes after all lines that were read before, and count `line` as read."""
        if line["seq"] <= self.seq:
            return False
        self.seq = line["seq"]
        return True

    def take(self, page: JsonObject) -> Sequence[JsonObject]:
        """Return the lines of a page, and set `is_at_end` if the log has been read far enough.

        That is the case once the line is read that was the last one when the first page was fetched.
        """
        lines: Sequence[JsonObject] = page["items"]
        if self._last_seq is None:
            self._last_seq = page["last_seq"]
        if lines:
            self.seq = lines[-1]["seq"]
        self.is_at_end = not lines or self.seq >= self._last_seq
        return lines

    def pause_after(self, error: ServerUnreachable | ApiError) -> float:
        """Return the number of seconds until the next attempt to connect.

        Raise `error` if it is a refusal, or if the server will have been unreachable for more than `patience_s` seconds
        by the next attempt.
        """
        if isinstance(error, ApiError) and error.status not in NOT_NOW:
            raise error
        now = time.monotonic()
        self._gone_since = self._gone_since or now
        if now + self._pause_s > self._gone_since + self._patience_s:
            raise error
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, PAUSE_S_MAX)
        return pause_s


class Polling:
    """Decides how long to wait for a run to be over or paused, and when to ask the server again."""

    def __init__(self, run_id: str, timeout_s: float | None) -> None:
        self._run_id = run_id
        self._timeout_s = timeout_s
        self._ends_at = None if timeout_s is None else time.monotonic() + timeout_s
        self._pause_s = POLL_S_MIN
        self._status = ""

    def has_rested(self, page: JsonObject) -> bool:
        """Return whether the run is over or paused. `page` is the answer to `calls.summary`.

        Raise ApiError if the run does not exist.
        """
        if not page["items"] or page["items"][0]["run_id"] != self._run_id:
            raise ApiError(404, "Not Found", str(NotFound("run", self._run_id[:100])))
        self._status = page["items"][0]["status"]
        return self._status not in MOVING

    def pause_s(self) -> float:
        """Return the number of seconds until the next call. Raise TimeoutError if `timeout_s` has passed."""
        now = time.monotonic()
        if self._ends_at is not None and now >= self._ends_at:
            raise TimeoutError(f"run {self._run_id} is still {self._status} after {self._timeout_s:g} s")
        pause_s, self._pause_s = self._pause_s, min(1.5 * self._pause_s, POLL_S_MAX)
        return pause_s if self._ends_at is None else min(pause_s, self._ends_at - now)
