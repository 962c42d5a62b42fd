"""The store's clock follows the database's clock and never goes back."""

from __future__ import annotations

import pytest

from service.store.database.clock import microseconds
from service.store.database.store_clock import StoreClock
from tests.support.store.harness import LEASE_S, SettableClock

HOUR = 3600.0


def read(store_clock: StoreClock, clock: SettableClock, *, before: float = 0.0, after: float = 0.0) -> float:
    """Return the store's time in seconds. Reading the database's clock takes `before` and `after` seconds."""
    asked_at = clock.elapsed()
    clock.advance(before)
    now_us = microseconds(clock())
    clock.advance(after)
    return store_clock.moment(now_us, asked_at).now_us / 1e6 - 1893456000


def test_a_stall_between_the_two_clocks_is_no_jump() -> None:
    clock = SettableClock()
    store_clock = StoreClock(LEASE_S, elapsed=clock.elapsed)
    assert read(store_clock, clock) == 0
    assert read(store_clock, clock, after=30) == 0  # The server was held up.
    assert read(store_clock, clock) == 30
    assert read(store_clock, clock, before=30) == 60  # The database was held up.
    moment = store_clock.moment(microseconds(clock()), clock.elapsed())
    assert (moment.now_us, moment.patience_us) == (moment.clock_us, 0)


def test_a_clock_that_is_slewed_is_followed_and_time_never_goes_back() -> None:
    clock = SettableClock()
    store_clock = StoreClock(LEASE_S, elapsed=clock.elapsed)
    seen = [read(store_clock, clock)]
    for _ in range(1000):
        clock.advance(1)
        clock.set_by(-0.001)  # It runs slower than the monotonic clock, by a thousandth.
        seen.append(read(store_clock, clock))
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(999)
    clock.set_by(-1.5)
    assert read(store_clock, clock) == seen[-1]
    clock.advance(2)
    assert read(store_clock, clock) == pytest.approx(999.5)


def test_a_clock_that_is_set_back_again_and_again_holds_up_nothing() -> None:
    clock = SettableClock()
    store_clock = StoreClock(LEASE_S, elapsed=clock.elapsed)
    first = read(store_clock, clock)
    for _ in range(10):
        clock.set_by(-HOUR)
        clock.advance(10)
        read(store_clock, clock)
    assert 90 <= read(store_clock, clock) - first <= 100
