"""Decide whether and when a call is made again after its connection broke or the server could not answer."""

from __future__ import annotations

import time

from service.client.errors import ServerUnreachable
from service.client.messages import Answer, Request

PAUSE_S_MIN, PAUSE_S_MAX = 0.05, 2.0
NOT_NOW = frozenset({502, 503, 504})
"""The statuses of an answer which says that the server cannot answer now."""


class Retrying:
    """Decides whether one call is repeated, and after which pause. No attempt begins after `patience_s` seconds."""

    def __init__(self, request: Request, patience_s: float) -> None:
        self._request = request
        self._ends_at = time.monotonic() + patience_s
        self._pause_s = PAUSE_S_MIN

    def pause_after(self, failure: ServerUnreachable | Answer) -> float | None:
        """Return the number of seconds to pause before the next attempt, or None if the call is not repeated.

        `failure` may be any answer. Only an answer with a status in NOT_NOW is a reason to repeat the call.
        """
        if isinstance(failure, Answer):
            if failure.status not in NOT_NOW or not self._request.is_repeatable:
                return None
        elif failure.may_have_arrived and not self._request.is_repeatable:
            return None
        if time.monotonic() + self._pause_s > self._ends_at:
            return None
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, PAUSE_S_MAX)
        return pause_s
