"""The times of a schedule: by a cron expression in a time zone, or at a fixed interval.

A cron expression names times of day. A time of day that does not exist on some day, because the clock is set ahead,
comes at the end of the gap. A time of day that exists twice, because the clock is set back, comes only the first time.
An expression for every hour names no time of day: its times follow each other as time passes, so an hour that exists
twice has its times twice. Debian's cron does the same.

All times are microseconds since 1970.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice

from cronsim import CronSim, CronSimError

from service.core.validation.spelling import closest

CRON_CHARS_MAX = 200
FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")
_RANGES = ("0 to 59", "0 to 23", "1 to 31", "1 to 12 or JAN to DEC", "0 to 7 or SUN to SAT")
_NOT_ZONES = ("posix", "posixrules", "right", "localtime", "Factory")
"""Names that some machines have besides those of IANA: zones that count leap seconds, and the machine's own zone."""
_FOLD_MAX_S = 3 * 3600
"""The most seconds by which a clock is ever set back."""
_DAY_S = 86_400
_SECOND_US = 1_000_000
_EPOCH, _EPOCH_UTC = datetime(1970, 1, 1), datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Timetable:
    """The times of a schedule, which has either `cron` or `every_s`."""

    cron: str | None
    every_s: float | None
    zone: str = "UTC"

    def following(self, tick_us: int) -> int | None:
        """Return the time after `tick_us`. None: there is none within 50 years."""
        return next(self.after(tick_us), None)

    def after(self, tick_us: int) -> Iterator[int]:
        """Yield the times after `tick_us`. Times at an interval are counted from `tick_us`."""
        if self.cron is not None:
            yield from _Cron(self.cron, self.zone).after(tick_us)
        while self.cron is None:
            tick_us += self._every_us
            yield tick_us

    def resumed(self, next_us: int, now_us: int) -> int | None:
        """Return the first time after `now_us`, but no earlier than `next_us`, which is one of the times."""
        if self.cron is not None:
            return self.following(max(now_us, next_us - 1))
        return next_us + max(0, (now_us - next_us) // self._every_us + 1) * self._every_us

    def last(self, first_us: int, until_us: int) -> int:
        """Return the last time that is not after `until_us`. `first_us` is one of the times that qualify."""
        return next(self._before(first_us, until_us), first_us)

    def newest(self, first_us: int, until_us: int, count: int) -> int:
        """Of the last `count` times from `first_us` to `until_us`, both included, return the earliest."""
        return min(islice(self._before(first_us, until_us), count), default=first_us)

    def _before(self, first_us: int, until_us: int) -> Iterator[int]:
        """Yield the times from `first_us` to `until_us`, both included, the latest first."""
        if self.cron is not None:
            for tick_us in _Cron(self.cron, self.zone).until(until_us):
                if tick_us < first_us:
                    return
                yield tick_us
            return
        for number in range((until_us - first_us) // self._every_us, -1, -1):
            yield first_us + number * self._every_us

    @property
    def _every_us(self) -> int:
        # In whole milliseconds, as times are stored.
        return round((self.every_s or 0) * 1000) * 1000


class _Cron:
    """The times of a cron expression in a time zone. Times inside this class are whole seconds since 1970.

    CronSim is given no zone: it steps through local times, and this class finds out when a clock shows them.
    """

    def __init__(self, cron: str, zone: str) -> None:
        self._cron = cron
        self._zone = _zone(zone)
        self._is_hourly = len(CronSim(cron, datetime(2000, 1, 1)).hours) == 24

    def after(self, us: int) -> Iterator[int]:
        """Yield the times after `us`, in ascending order."""
        last = us // _SECOND_US
        for tick in self._passing(last) if self._is_hourly else self._first_shown(last):
            if tick > last:
                yield tick * _SECOND_US
                last = tick

    def until(self, us: int) -> Iterator[int]:
        """Yield the times that are not after `us`, in descending order."""
        last = us // _SECOND_US + 1
        for tick in self._passing_back(last) if self._is_hourly else self._first_shown_back(last):
            if tick < last:
                yield tick * _SECOND_US
                last = tick

    def _first_shown(self, second: int) -> Iterator[int]:
        """Yield, ascending, the times at which a clock first shows or skips each local time of the schedule.

        The first few may be before `second`.
        """
        for shown in _shown(self._cron, second + self._offset(second)):
            yield self._when_first(shown)

    def _first_shown_back(self, second: int) -> Iterator[int]:
        """Yield the times of `_first_shown` in descending order. The first few may be after `second`."""
        # A clock that was set back lately has already shown local times later than the one that it shows now.
        latest = max(self._offset(second), self._offset(second - _FOLD_MAX_S))
        for shown in _shown(self._cron, second + latest, reverse=True):
            yield self._when_first(shown)

    def _when_first(self, shown: int) -> int:
        """Return the time at which a clock first shows the local time `shown`, or a later one if it skips `shown`."""
        local = _EPOCH + timedelta(seconds=shown)
        offset = _seconds(local.replace(tzinfo=self._zone).utcoffset())
        second = shown - offset
        later = self._offset(second)
        if later == offset:
            return second
        # Clocks skip this time. It was converted with the offset before the gap, so `second` is after the gap's end.
        return _first(lambda at: self._offset(at) == later, second - (later - offset), second)

    def _passing(self, second: int) -> Iterator[int]:
        """Yield, ascending, all times after `second` at which a clock shows a local time of the schedule."""
        offset, change = self._offset(second), None
        while True:
            for shown in _shown(self._cron, second + offset):
                tick = shown - offset
                if (change := self._next_change(second, tick, offset)) is not None:
                    break
                yield tick
                second = tick
            if change is None:
                return
            second, offset, change = change - 1, self._offset(change), None

    def _next_change(self, second: int, tick: int, offset: int) -> int | None:
        """Return the time at which clocks are next set ahead or back, or None if that is after `tick`.

        `offset` is the offset from `second` until that time.
        """
        near = second + _DAY_S
        if self._offset(near) != offset:
            change = _first(lambda at: self._offset(at) != offset, second, near)
            return change if change <= tick else None
        if tick > near and self._offset(tick) != offset:
            return _first(lambda at: self._offset(at) != offset, near, tick)
        return None

    def _passing_back(self, second: int) -> Iterator[int]:
        """Yield, descending, all times before `second` at which a clock shows a local time of the schedule."""
        offset, change = self._offset(second - 1), None
        while True:
            for shown in _shown(self._cron, second + offset, reverse=True):
                tick = shown - offset
                if (change := self._last_change(second, tick, offset)) is not None:
                    break
                yield tick
                second = tick
            if change is None:
                return
            second, offset, change = change, self._offset(change - 1), None

    def _last_change(self, second: int, tick: int, offset: int) -> int | None:
        """Return the time at which clocks were last set ahead or back, or None if that is not after `tick`.

        `offset` is the offset from that time until `second`.
        """
        near = second - _DAY_S
        if self._offset(near) != offset:
            change = _first(lambda at: self._offset(at) == offset, near, second - 1)
            return change if change > tick else None
        if tick < near and self._offset(tick) != offset:
            return _first(lambda at: self._offset(at) == offset, tick, near)
        return None

    def _offset(self, second: int) -> int:
        """Return the number of seconds by which clocks are ahead of UTC at `second`."""
        return _seconds((_EPOCH_UTC + timedelta(seconds=second)).astimezone(self._zone).utcoffset())


def _shown(cron: str, second: int, *, reverse: bool = False) -> Iterator[int]:
    """Yield the local times of `cron` after `second`, ascending. With `reverse`, yield earlier ones, descending.

    A local time, such as `second`, is what a clock shows, in seconds since 1970 as if that were UTC.
    """
    try:
        for found in CronSim(cron, _EPOCH + timedelta(seconds=second), reverse=reverse):
            yield _seconds(found - _EPOCH)
    except OverflowError:  # Beyond the years 1 to 9999.
        return


def _first(is_so: Callable[[int], bool], before: int, until: int) -> int:
    """Return the first second after `before` at which `is_so` holds. From then on, it must hold until `until`."""
    while until - before > 1:
        middle = (before + until) // 2
        if is_so(middle):
            until = middle
        else:
            before = middle
    return until


def _seconds(span: timedelta | None) -> int:
    return 0 if span is None else round(span.total_seconds())


@lru_cache(maxsize=256)
def _zone(name: str) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(name)


def _is_zone(name: str) -> bool:
    if name.partition("/")[0] in _NOT_ZONES:
        return False
    try:
        _zone(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


_SHORTEST_TYPO = 6
"""A shorter name is not taken for a typo: it is an abbreviation such as PST, and resembles unrelated names."""


def zone_fault(name: str) -> str | None:
    """Return why `name` names no time zone, or None if it does."""
    if _is_zone(name):
        return None
    known = sorted(zone for zone in zoneinfo.available_timezones() if zone.partition("/")[0] not in _NOT_ZONES)
    meant = [zone for zone in known if f"/{zone}".lower().endswith(f"/{name}".lower())]
    meant.sort(key=len)  # Of UTC and Etc/UTC, the shorter one is meant.
    hint = closest(meant[0] if meant else name, known) if meant or len(name) >= _SHORTEST_TYPO else ""
    return f"there is no time zone {name!r:.200}{hint or '; names are, for example, UTC and Europe/Berlin'}"


def cron_fault(cron: str) -> str | None:
    """Return what is wrong with a cron expression, or None if nothing is."""
    fields = cron.split()
    if len(cron) > CRON_CHARS_MAX:
        return f"should have at most {CRON_CHARS_MAX} characters"
    if len(fields) != len(FIELDS):
        return f"must have five fields ({', '.join(FIELDS)}), and has {len(fields)}"
    for number, field in enumerate(fields):
        alone = ["*"] * len(FIELDS)
        alone[number] = field
        if not _is_read(" ".join(alone)):
            return (
                f"its {FIELDS[number]} {field!r} is not understood: it takes {_RANGES[number]}, `*`, `/`, `-` and `,`"
            )
    if not _is_read(cron) or Timetable(cron, None).following(0) is None:
        return "names a day that never comes"
    return None


def _is_read(cron: str) -> bool:
    try:
        CronSim(cron, datetime(2000, 1, 1))
    except CronSimError:
        return False
    return True
