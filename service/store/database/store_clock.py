"""The store's time: the database's clock, made so that it never goes back and that no work waits for a clock.

It is what the clock says, for as long as the clock goes on as the monotonic one does.

Where the clock was set back, the store's time goes on from where it was: what is due stays due, and what was to wait
for ten seconds waits for ten. It is then ahead of the clock, and passes by a tenth slower until that has caught up.

Where the clock was set ahead, the store's time follows: nobody can tell that from time that has passed while the
database's host was suspended. Waits end early by as much. Leases do not: for the length of one, nobody takes over what
only seems to be left, so that its server can renew it.

A server that starts goes on from the latest time that it finds stored, and one that runs never falls behind the others
(the receive rule of hybrid logical clocks: Kulkarni et al., OPODIS 2014).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC
from typing import Any

from service.store.database.clock import Moment, Override, from_database, microseconds

JUMP_US = 2_000_000
"""By how much two readings may differ from the monotonic clock, before the clock was set."""
DRIFT_PARTS = 500
"""And by one of so many parts of the time between them: clocks run at different speeds, and are slewed."""
SLEW_PARTS = 10
"""One of so many parts of the time that passes is given back while the store's time is ahead."""


class StoreClock:
    """One server's. The writer and its lane use it, each on a thread of its own."""

    def __init__(
        self, lease_s: float, override: Override | None = None, elapsed: Callable[[], float] | None = None
    ) -> None:
        """`elapsed` is the monotonic clock; that of an `override` without one is the override itself."""
        self._override = override
        if elapsed is None:
            elapsed = time.monotonic if override is None else lambda: override().timestamp()
        self.elapsed = elapsed
        self._lease_s = lease_s
        self._now_us = 0
        self._clock_us = 0
        self._ahead_us = 0
        self._asked_at = self._answered_at = float("-inf")
        self._patient_until = float("-inf")
        self._patience_us = 0
        self._lock = threading.Lock()

    def moment(self, clock: Any, asked_at: float) -> Moment:
        """This moment, at which the database said that it is `clock`; asked for at `asked_at` by `elapsed`."""
        clock_us = microseconds(clock if self._override is None else self._override())
        with self._lock:
            # A thread that was held up comes with a reading that is older than the last one: it tells nothing.
            if asked_at >= self._asked_at:
                answered_at = self.elapsed()
                if self._now_us:
                    self._compare(clock_us, asked_at, answered_at)
                self._clock_us, self._asked_at, self._answered_at = clock_us, asked_at, answered_at
                self._now_us = max(self._now_us, clock_us + self._ahead_us)
            return self._moment()

    def reach(self, stored: Any) -> Moment:
        """This moment, which is no earlier than `stored`, a time that some server has written."""
        # Without an offset where somebody else has written it.
        stored_us = 0 if stored is None else microseconds(from_database(stored).replace(tzinfo=UTC))
        with self._lock:
            if stored_us > self._now_us:
                self._ahead_us += stored_us - self._now_us
                self._now_us = stored_us
            return self._moment()

    def _moment(self) -> Moment:
        patience_us = self._patience_us if self._answered_at < self._patient_until else 0
        return Moment(self._now_us, time.monotonic(), self._clock_us, patience_us)

    def _compare(self, clock_us: int, asked_at: float, answered_at: float) -> None:
        """Find out whether the clock was set since it was read the last time, and by how much.

        When the database read its clock is known only to be between asking and being told.
        """
        least_us = max(0, round((asked_at - self._answered_at) * 1e6))
        most_us = round((answered_at - self._asked_at) * 1e6)
        moved_us = clock_us - self._clock_us
        tolerance_us = JUMP_US + most_us // DRIFT_PARTS
        if moved_us < least_us - tolerance_us:
            self._ahead_us += least_us - moved_us
        elif moved_us > most_us + tolerance_us:
            self._leap(moved_us - most_us, answered_at)
        elif self._ahead_us:
            self._ahead_us -= min(self._ahead_us, least_us // SLEW_PARTS)

    def _leap(self, by_us: int, answered_at: float) -> None:
        """The clock was set ahead: first it catches up, and only then is the store's time taken along."""
        caught_up_us = min(self._ahead_us, by_us)
        self._ahead_us -= caught_up_us
        if by_us > caught_up_us:
            if answered_at >= self._patient_until:
                self._patience_us = 0
            self._patience_us += by_us - caught_up_us
            self._patient_until = answered_at + self._lease_s
