"""The store's time: the database's clock, corrected so that it never goes back and no work waits for a clock.

As long as the database's clock runs as the monotonic clock does, the store's time is what the database's clock shows.

If the database's clock is set back, the store's time goes on from where it was. What is due stays due, and what is to
wait for ten seconds waits for ten. The store's time is then ahead of the clock, and runs a tenth slower until the clock
has caught up.

If the database's clock is set ahead, the store's time follows, because this looks the same as time that passed while
the database's host was suspended. Waits then end early by the same amount. Leases do not: for the length of one lease
nobody takes over a run whose lease only seems to have run out, so that the run's server can renew the lease.

A server that starts goes on from the latest time that is stored, and a running server never falls behind the others.
This is the receive rule of hybrid logical clocks (Kulkarni et al., OPODIS 2014).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC
from typing import Any

from service.store.database.clock import Moment, Override, from_database, microseconds

JUMP_US = 2_000_000
"""If the time between two readings differs from the monotonic clock's by more than this plus the drift, the clock was
set."""
DRIFT_PARTS = 500
"""The drift allowed is the time between the readings divided by this: clocks differ in speed, and are slewed."""
SLEW_PARTS = 10
"""While the store's time is ahead, its lead shrinks by the time that passes, divided by this."""


class StoreClock:
    """The store's time of one server. Its methods may be called on any thread."""

    def __init__(
        self, lease_s: float, override: Override | None = None, elapsed: Callable[[], float] | None = None
    ) -> None:
        """`elapsed` is the monotonic clock. With `override` and without `elapsed`, time passes as `override` says."""
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

    def moment(self, clock_us: int, asked_at: float) -> Moment:
        """Return the current moment, given what the database's clock showed when it was asked at `asked_at`."""
        if self._override is not None:
            clock_us = microseconds(self._override())
        with self._lock:
            # A thread that was held up may bring a reading that is older than the last one. It is ignored.
            if asked_at >= self._asked_at:
                answered_at = self.elapsed()
                if self._now_us:
                    self._compare(clock_us, asked_at, answered_at)
                self._clock_us, self._asked_at, self._answered_at = clock_us, asked_at, answered_at
                self._now_us = max(self._now_us, clock_us + self._ahead_us)
            return self._moment()

    def reach(self, stored: Any) -> Moment:
        """Move the store's time up to `stored`, a time that some server has written, and return the current moment."""
        # A time that somebody else has written may have no offset.
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
        """Correct how far the store's time is ahead: the database's clock may have been set since its last reading.

        The database read its clock at an unknown moment between the question and the answer.
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
        """Follow a clock that was set ahead by `by_us`. If it passes the store's time, respect leases for longer."""
        caught_up_us = min(self._ahead_us, by_us)
        self._ahead_us -= caught_up_us
        if by_us > caught_up_us:
            if answered_at >= self._patient_until:
                self._patience_us = 0
            self._patience_us += by_us - caught_up_us
            self._patient_until = answered_at + self._lease_s
