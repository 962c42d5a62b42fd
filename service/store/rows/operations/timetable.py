"""The times of a schedule: by a cron expression in a time zone, or at a fixed interval.

A cron expression names times of day. One that does not exist on a day, because the clock is set ahead, comes at the end
of the gap; one that exists twice comes once, the first time. An expression for every hour names no time of day: its
times follow each other as time passes, so an hour that exists twice has them twice. Debian's cron does the same.

All times are microseconds since 1970.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice

from cronsim import CronSim, CronSimError

from service.core.validation.spelling import closest

CRON_CHARS_MAX = 200
FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")
_RANGES = ("0 to 59", "0 to 23", "1 to 31", "1 to 12 or JAN to DEC", "0 to 7 or SUN to SAT")
_NOT_ZONES = ("posix", "right", "localtime", "Factory")
"""What some machines have beside the names of IANA: zones that count leap seconds, and the machine's own."""
_FOLD_MAX = timedelta(hours=3)
"""No clock is set back further."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND, _MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)


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
        """Yield the times after `tick_us`. Times at an interval are counted from there."""
        if self.cron is not None:
            yield from _Cron(self.cron, self.zone).after(tick_us)
        while self.cron is None:
            tick_us += self._every_us
            yield tick_us

    def resumed(self, next_us: int, now_us: int) -> int | None:
        """Return the first time after `now_us`, given that `next_us` is one."""
        if self.cron is not None:
            return self.following(max(now_us, next_us - 1))
        return next_us + max(0, (now_us - next_us) // self._every_us + 1) * self._every_us

    def last(self, first_us: int, until_us: int) -> int:
        """Return the last time up to `until_us`, or `first_us`, which is one of them, if there is no later one."""
        return next(self._before(first_us, until_us), first_us)

    def newest(self, first_us: int, until_us: int, count: int) -> int:
        """Return the first of the newest `count` times up to `until_us`: `first_us` or a later one."""
        return min(islice(self._before(first_us, until_us), count), default=first_us)

    def _before(self, first_us: int, until_us: int) -> Iterator[int]:
        """Yield the times from `first_us` up to `until_us`, the latest first."""
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
    """The times of a cron expression in a time zone."""

    def __init__(self, cron: str, zone: str) -> None:
        self._zone = _zone(zone)
        fields = cron.split()
        is_hourly = len(CronSim(cron, datetime(2000, 1, 1)).hours) == 24
        if is_hourly:
            fields[1] = "*"  # By this CronSim knows that the times follow each other as time passes.
        self._is_hourly = is_hourly
        self._cron = " ".join(fields)

    def after(self, us: int) -> Iterator[int]:
        """Yield the times after `us`, in ascending order."""
        last_us, here = us, self._at(us)
        for tick_us in self._instants(CronSim(self._cron, here if self._is_hourly else here.replace(tzinfo=None))):
            if tick_us > last_us:
                yield tick_us
                last_us = tick_us

    def until(self, us: int) -> Iterator[int]:
        """Yield the times up to `us`, in descending order."""
        here = self._at(us)
        if self._is_hourly:
            begin = self._at(us + 1_000_000)
        else:  # The times of day that were a first time before `us` may be later ones than it shows now.
            begin = here.replace(tzinfo=None) + (_FOLD_MAX if here.fold else _SECOND)
        last_us = us + 1
        for tick_us in self._instants(CronSim(self._cron, begin, reverse=True)):
            if tick_us < last_us:
                yield tick_us
                last_us = tick_us

    def _at(self, us: int) -> datetime:
        return (_EPOCH + timedelta(seconds=us // 1_000_000)).astimezone(self._zone)

    def _instants(self, times: Iterator[datetime]) -> Iterator[int]:
        try:
            for found in times:
                moment = found.astimezone(UTC) if self._is_hourly else _instant(found, self._zone)
                yield (moment - _EPOCH) // _MICROSECOND
        except OverflowError:  # The year 9999 has passed.
            return


def _instant(local: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    """Return when a clock in `zone` first shows `local` or, if it never does, when it passes it."""
    there = local.replace(tzinfo=zone)
    moment = there.astimezone(UTC)
    shown = moment.astimezone(zone).replace(tzinfo=None)
    if shown == local:
        return moment
    # `moment` was computed with the offset before the gap, so it is behind the end of the gap, by less than its length.
    early, late = moment - (shown - local), moment
    offset = late.astimezone(zone).utcoffset()
    while late - early > _SECOND:
        middle = early + (late - early) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            late = middle
        else:
            early = middle
    return late


@lru_cache(maxsize=256)
def _zone(name: str) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(name)


def zone_fault(name: str) -> str | None:
    """Return why `name` names no time zone, or None if it does."""
    try:
        if name.partition("/")[0] not in _NOT_ZONES:
            _zone(name)
            return None
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        pass
    known = sorted(zone for zone in zoneinfo.available_timezones() if zone.partition("/")[0] not in _NOT_ZONES)
    meant = [zone for zone in known if f"/{zone}".lower().endswith(f"/{name}".lower())]
    return f"there is no time zone {name!r:.200}{closest(meant[0] if meant else name, known)}"


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
