"""The one clock: durable times are the database's, durations the monotonic clock's.

Each transaction reads the pair once (`Moment`), so that a moment noted on the monotonic clock while a tool
ran is written down in the database's time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

Override = Callable[[], datetime]
"""A pinned clock for tests; production asks the database."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The database's time, and the monotonic clock when it was read."""

    now: datetime
    monotonic: float

    @classmethod
    def of(cls, now: Any) -> Moment:
        """This very moment, at which the database's time is `now`."""
        return cls(from_database(now), time.monotonic())

    def text(self, *, later_s: float = 0.0) -> str:
        """This moment, or one `later_s` seconds later, as the database stores it."""
        return iso(self.now + timedelta(seconds=later_s) if later_s else self.now)

    def at(self, monotonic: float | None) -> str:
        """The moment when the monotonic clock showed `monotonic`; this one if None. Never a later one."""
        return self.text(later_s=0.0 if monotonic is None else min(0.0, monotonic - self.monotonic))


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC to the millisecond; fixed in width, so that texts sort as times do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def from_database(value: Any) -> datetime:
    """A stored time: text on SQLite, a datetime on PostgreSQL."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def shown(value: Any) -> str | None:
    """A stored time as a client sees it."""
    return None if value is None else iso(from_database(value))
