"""Times as the store keeps them: durable times come from the database, durations from the monotonic clock.

Each transaction reads both clocks once (`Moment`). So a time that was read from the monotonic clock while a tool ran
can be stored as a time of the database.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

Override = Callable[[], datetime]
"""A clock for tests, in place of the database's."""

NOW = {"sqlite": "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')", "postgresql": "clock_timestamp()"}
"""The SQL expression for the current time, by dialect. SQLite's is a text, as times are stored there."""
LOOK_US = 30_000_000
"""The longest pause between two checks of a calendar time while the database's clock is behind the store's time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LENGTH = len("1970-01-01T00:00:00.000Z")
_MICROSECOND = timedelta(microseconds=1)


class Moment(NamedTuple):
    """The time of a transaction, and what the monotonic clock showed then."""

    now_us: int
    """The store's time (see `store_clock`), in microseconds since 1970."""
    monotonic: float
    clock_us: int
    """What the database's clock shows: less than `now_us` if it was set back."""
    patience_us: int = 0
    """How long a lease that seems to have run out is still respected, because the clock was set ahead."""

    def text(self, *, later_s: float = 0.0) -> str:
        """Return this moment plus `later_s` seconds, as the database stores it."""
        return _text_of((self.now_us + round(later_s * 1_000_000) if later_s else self.now_us) // 1000)

    def by_calendar(self, us: int) -> int:
        """Return the store's time at which to check whether the database's clock has reached `us`.

        If the store's time is ahead of that clock, this is at most LOOK_US from now, and the caller then checks again.
        """
        ahead_us = self.now_us - self.clock_us
        return us if ahead_us == 0 else min(us + ahead_us, self.now_us + LOOK_US)

    def at(self, monotonic: float | None) -> str:
        """Return the time at which the monotonic clock showed `monotonic`, in the database's form.

        None, or a time in the future, gives this moment.
        """
        if monotonic is None or monotonic >= self.monotonic:
            return _text_of(self.now_us // 1000)
        return _text_of((self.now_us + round((monotonic - self.monotonic) * 1_000_000)) // 1000)


def text_of(us: int) -> str:
    """Return the time `us` microseconds after 1970 as the database stores it."""
    return _text_of(us // 1000)


@lru_cache(maxsize=1024)  # Many of the steps that are committed together ended within the same millisecond.
def _text_of(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second_of(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=128)  # Most times that are stored together are within a few seconds.
def _second_of(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="seconds").removesuffix("+00:00")


def iso(moment: datetime) -> str:
    """Return `moment` in ISO 8601, in UTC with milliseconds. The width is fixed, so that texts sort as times do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def from_database(value: Any) -> datetime:
    """Return a stored time, which is text on SQLite and a datetime on PostgreSQL."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def microseconds(value: Any) -> int:
    """Return a stored time in microseconds since 1970."""
    return (from_database(value) - _EPOCH) // _MICROSECOND


def shown(value: Any) -> str | None:
    """Return a stored time as clients see it, or None for NULL."""
    if isinstance(value, str) and len(value) == _LENGTH and value[-1] == "Z":
        return value  # It already has the form that `iso` gives.
    return None if value is None else iso(from_database(value))
