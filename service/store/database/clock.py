"""The one clock: durable times are the database's, durations the monotonic clock's.

Each transaction reads the pair once (`Moment`), so that a moment noted on the monotonic clock while a tool
ran is written down in the database's time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

Override = Callable[[], datetime]
"""A pinned clock for tests; production asks the database."""


LOOK_US = 30_000_000
"""How often to look for a moment of the calendar while the database's clock is behind the store's time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Moment:
    """The database's time, and the monotonic clock when it was read."""

    now_us: int
    """The store's time (see `timeline`), in microseconds since 1970."""
    monotonic: float
    clock_us: int
    """What the database's clock says: less, where it was set back."""
    patience_us: int = 0
    """By how much leases that have run out may only seem so, because the clock was set ahead."""

    @classmethod
    def of(cls, now: Any) -> Moment:
        """This very moment, at which the database's time is `now`."""
        now_us = microseconds(now)
        return cls(now_us, time.monotonic(), now_us)

    def text(self, *, later_s: float = 0.0) -> str:
        """This moment, or one `later_s` seconds later, as the database stores it."""
        return text_of(self.now_us + round(later_s * 1_000_000) if later_s else self.now_us)

    def by_calendar(self, us: int) -> int:
        """When to look whether the database's clock says `us`: more than once, while the store's time is ahead."""
        ahead_us = self.now_us - self.clock_us
        return us if ahead_us == 0 else min(us + ahead_us, self.now_us + LOOK_US)

    def at(self, monotonic: float | None) -> str:
        """The moment when the monotonic clock showed `monotonic`; this one if None. Never a later one."""
        if monotonic is None or monotonic >= self.monotonic:
            return text_of(self.now_us)
        return text_of(self.now_us + round((monotonic - self.monotonic) * 1_000_000))


def text_of(us: int) -> str:
    """The moment `us` microseconds after 1970, as the database stores it."""
    return _text_of(us // 1000)


@lru_cache(maxsize=1024)  # Of a thousand steps that are committed together many ended within the same millisecond.
def _text_of(milliseconds: int) -> str:
    return iso(_EPOCH + timedelta(milliseconds=milliseconds))


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC to the millisecond; fixed in width, so that texts sort as times do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def from_database(value: Any) -> datetime:
    """A stored time: text on SQLite, a datetime on PostgreSQL."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def microseconds(value: Any) -> int:
    """A stored time as microseconds since 1970."""
    return (from_database(value) - _EPOCH) // _MICROSECOND


def shown(value: Any) -> str | None:
    """A stored time as a client sees it."""
    return None if value is None else iso(from_database(value))
