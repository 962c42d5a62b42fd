"""When a schedule ticks: in six zones on the days when their clocks are set, and what cron expressions are refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.store.rows.operations.timetable import CRON_CHARS_MAX, Timetable, cron_fault, zone_fault

MINUTE_US = 60_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = {
    "Europe/Berlin": ("2026-03-29", "2026-10-25"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "Australia/Lord_Howe": ("2026-10-04", "2026-04-05"),  # by half an hour
    "America/Santiago": ("2026-09-06", "2026-04-05"),  # at midnight
    "Africa/Cairo": ("2026-04-24", "2026-10-30"),  # at midnight
    "Asia/Kolkata": ("2026-03-29", "2026-10-25"),  # never
}
"""Zones with the days on which their clocks are set ahead and back."""


def us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def times(cron: str, zone: str, since: str, count: int) -> list[str]:
    """The first times after a moment in UTC, as clocks there show them."""
    ticks = islice(Timetable(cron, None, zone).after(us(datetime.fromisoformat(since).replace(tzinfo=UTC))), count)
    return [(EPOCH + timedelta(microseconds=tick)).astimezone(ZoneInfo(zone)).isoformat() for tick in ticks]


CASES = """
30 2 * * * | Europe/Berlin | 2026-03-28T12:00 | 2026-03-29T03:00:00+02:00 | 2026-03-30T02:30:00+02:00
30 2 * * * | Europe/Berlin | 2026-10-24T12:00 | 2026-10-25T02:30:00+02:00 | 2026-10-26T02:30:00+01:00
*/20 2 * * * | Europe/Berlin | 2026-03-28T12:00 | 2026-03-29T03:00:00+02:00 | 2026-03-30T02:00:00+02:00
59 1,2 * * * | America/New_York | 2026-03-08T00:00 | 2026-03-08T01:59:00-05:00 | 2026-03-08T03:00:00-04:00
30 1 * * * | America/New_York | 2026-11-01T00:00 | 2026-11-01T01:30:00-04:00 | 2026-11-02T01:30:00-05:00
15 2 * * * | Australia/Lord_Howe | 2026-10-03T00:00 | 2026-10-04T02:30:00+11:00 | 2026-10-05T02:15:00+11:00
45 1 * * * | Australia/Lord_Howe | 2026-04-04T00:00 | 2026-04-05T01:45:00+11:00 | 2026-04-06T01:45:00+10:30
0 0 * * * | America/Santiago | 2026-09-05T12:00 | 2026-09-06T01:00:00-03:00 | 2026-09-07T00:00:00-03:00
30 23 * * * | America/Santiago | 2026-04-04T12:00 | 2026-04-04T23:30:00-03:00 | 2026-04-05T23:30:00-04:00
15 0 * * 5 | Africa/Cairo | 2026-04-20T00:00 | 2026-04-24T01:00:00+03:00 | 2026-05-01T00:15:00+03:00
30 2 29 3 * | Asia/Kolkata | 2026-01-01T00:00 | 2026-03-29T02:30:00+05:30 | 2027-03-29T02:30:00+05:30
30 * * * * | Europe/Berlin | 2026-10-25T00:00 | 2026-10-25T02:30:00+02:00 | 2026-10-25T02:30:00+01:00
30 0-23 * * * | Europe/Berlin | 2026-03-29T00:00 | 2026-03-29T01:30:00+01:00 | 2026-03-29T03:30:00+02:00
"""
"""Expressions, zones, moments in UTC, and the first two times after them. Those for every hour come as time passes."""


@pytest.mark.parametrize("case", CASES.strip().splitlines())
def test_a_time_that_does_not_exist_or_exists_twice(case: str) -> None:
    cron, zone, since, *expected = case.split(" | ")
    assert times(cron, zone, since, 2) == expected


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("cron", ["0,15,45 0,1,2,23 * * *", "* 1-2 * * *"])
def test_times_of_day_come_once_each_day(zone: str, cron: str) -> None:
    """Compared with a look at every minute of the days around."""
    for day in ZONES[zone]:
        begin = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(days=1)
        table = Timetable(cron, None, zone)
        end_us = us(begin + timedelta(days=2))
        found = [tick for tick in islice(table.after(us(begin)), 2000) if tick <= end_us]
        assert found == expected_times(cron, zone, us(begin), end_us)
        backward = []
        last = end_us
        while (last := table.last(us(begin), last)) > us(begin):
            backward.append(last)
            last -= 1
        assert backward == found[::-1]


@pytest.mark.parametrize("zone", ["Australia/Lord_Howe", "America/Santiago"])
def test_an_expression_for_every_hour_comes_whenever_clocks_show_it(zone: str) -> None:
    table = Timetable("45 * * * *", None, zone)
    for day in ZONES[zone]:
        begin = us(datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(days=1))
        every = range(begin + MINUTE_US, begin + 2880 * MINUTE_US, MINUTE_US)
        expected = [at for at in every if (EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(zone)).minute == 45]
        assert list(islice(table.after(begin), len(expected))) == expected
        assert [table.last(begin, at + MINUTE_US) for at in expected] == expected


def expected_times(cron: str, zone: str, begin_us: int, end_us: int) -> list[int]:
    """When clocks first show each time of the expression, or first show a later time."""
    minute, hour, *_ = cron.split()
    wanted = {(h, m) for h in values(hour, 24) for m in values(minute, 60)}
    return [at for at, new in minutes_shown(zone, begin_us, end_us) if not wanted.isdisjoint(new)]


@cache
def minutes_shown(zone: str, begin_us: int, end_us: int) -> list[tuple[int, set[tuple[int, int]]]]:
    """For each minute after the first, the times of day that clocks first show then, or have passed then."""
    shown: dict[int, datetime] = {}
    for at in range(begin_us, end_us + 1, MINUTE_US):
        shown[at] = (EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    latest = shown[begin_us]
    found = []
    for at in range(begin_us + MINUTE_US, end_us + 1, MINUTE_US):
        new = minutes(latest, shown[at])
        found.append((at, {(each.hour, each.minute) for each in new}))
        latest = max(latest, shown[at])
    return found


def minutes(after: datetime, until: datetime) -> list[datetime]:
    return [until - timedelta(minutes=number) for number in range(max(0, (until - after) // timedelta(minutes=1)))]


def values(field: str, count: int) -> set[int]:
    if field.startswith("*"):
        return set(range(0, count, int(field.partition("/")[2] or 1)))
    first, dash, last = field.partition("-")
    return set(range(int(first), int(last) + 1)) if dash else {int(part) for part in field.split(",")}


@given(
    zone=st.sampled_from(sorted(ZONES)),
    minute=st.sampled_from(["0", "30", "*/20", "5-10", "*"]),
    hour=st.sampled_from(["*", "2", "*/2", "0-23", "23,0"]),
    day=st.integers(0, 364),
    second=st.integers(0, 86_399),
)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_forward_and_backward_are_the_same_times(zone: str, minute: str, hour: str, day: int, second: int) -> None:
    table = Timetable(f"{minute} {hour} * * *", None, zone)
    since = us(datetime(2026, 1, 1, tzinfo=UTC)) + (day * 86_400 + second) * 1_000_000
    first, *_, last = ticks = list(islice(table.after(since), 12))
    assert ticks == sorted(set(ticks))
    assert since < first
    assert table.last(first, last) == last
    assert table.last(first, last - 1) == ticks[-2]
    assert table.newest(first, last, 12) == first
    assert table.newest(first, last, 3) == ticks[-3]
    assert table.resumed(first, ticks[4]) == ticks[5]


def test_times_at_an_interval_are_counted_from_one_another() -> None:
    table = Timetable(None, 0.1)
    assert list(islice(table.after(500_000), 3)) == [600_000, 700_000, 800_000]
    assert table.last(600_000, 10_650_000) == 10_600_000
    assert table.newest(600_000, 10_650_000, 5) == 10_200_000
    assert table.resumed(600_000, 10_600_000) == 10_700_000
    assert table.resumed(600_000, 100) == 600_000


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("61 * * * *", "its minute '61' is not understood: it takes 0 to 59"),
        ("* 24 * * *", "its hour '24'"),
        ("* * L-2 * *", "its day of the month"),
        ("* * * FEBR *", "its month 'FEBR' is not understood: it takes 1 to 12 or JAN to DEC"),
        ("* * * * ²L", "its day of the week"),
        ("*/0 * * * *", "its minute"),
        ("* * * *", "must have five fields .* has 4"),
        ("0 * * * * *", "must have five fields .* has 6"),
        ("@daily", "must have five fields"),
        ("", "must have five fields"),
        ("0 0 31 2 *", "a day that never comes"),
        ("* * */20 * 1L", "a day that never comes"),
        ("9" * CRON_CHARS_MAX + " * * * *", "at most 200 characters"),
    ],
)
def test_what_is_wrong_with_an_expression_is_said(cron: str, message: str) -> None:
    fault = cron_fault(cron)
    assert fault is not None
    assert re.search(message, fault)


@pytest.mark.parametrize(
    "cron", ["30 2 * * *", "*/5 9-17 * * MON-FRI", "0 0 L * *", "0 0 29 2 *", "0 12 * * 5#1", "5 4 * * sun"]
)
def test_expressions_that_are_understood(cron: str) -> None:
    assert cron_fault(cron) is None


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("europe/berlin", "; did you mean 'Europe/Berlin'?"),
        ("Berlin", "; did you mean 'Europe/Berlin'?"),
        ("Europe/Berln", "; did you mean 'Europe/Berlin'?"),
        ("../../etc/passwd", ""),
        ("right/UTC", None),
        ("localtime", ""),
        ("posixrules", None),
        ("PST", ""),
        ("Z", ""),
        ("utc", "; did you mean 'UTC'?"),
        ("America", None),
        ("", ""),
        ("a\0b", ""),
        ("x" * 5000, ""),
    ],
)
def test_an_unknown_zone_is_refused_with_the_closest_one(zone: str, hint: str | None) -> None:
    fault = zone_fault(zone)
    assert fault is not None
    assert fault.startswith("there is no time zone ")
    expected = hint or "; names are, for example, UTC and Europe/Berlin"
    assert hint is None or fault.partition(";")[1:] == expected.partition(";")[1:]


@pytest.mark.parametrize("zone", [*ZONES, "UTC", "Etc/GMT+12"])
def test_zones_that_there_are(zone: str) -> None:
    assert zone_fault(zone) is None
