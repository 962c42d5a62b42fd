"""What counts as a moment in a state, and which one it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.core.errors import StateInvalid
from service.core.state import State
from service.engine.timestamps import read_moment

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def at(value: Any) -> datetime:
    state = State.of({"due": {"at": value}}, 2**20)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=read_moment(state, "due.at").us)


@pytest.mark.parametrize(
    "value",
    [
        *("2030-01-01T12:00:00Z", "2030-01-01t12:00:00z", "2030-01-01 12:00:00", "2030-01-01 12:00:00Z"),
        *("2030-01-01T12:00:00-00:00", "2030-01-01T12:00:00.0Z", "2030-01-01T12:00:00.000000000000"),
        *("2030-01-01T14:30:00+02:30", "2030-01-01T12:00:00.000+00:00", "2029-12-31T12:01:00-23:59"),
        *(1893499200, 1893499200.0),
    ],
)
def test_moments(value: Any) -> None:
    assert at(value) == NOON


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2030-01-01T12:00:00.5Z", timedelta(milliseconds=500)),
        ("2030-01-01T12:00:00.25", timedelta(milliseconds=250)),
        ("2030-01-01T12:00:00.123456Z", timedelta(microseconds=123456)),
        # Not before its time.
        ("2030-01-01T12:00:00.123456000Z", timedelta(microseconds=123456)),
        ("2030-01-01T12:00:00.123456001Z", timedelta(microseconds=123457)),
        ("2030-01-01T12:00:00.9999999+00:00", timedelta(seconds=1)),
        (1893499200.25, timedelta(seconds=0.25)),
    ],
)
def test_a_fraction_counts(value: Any, expected: timedelta) -> None:
    assert at(value) - NOON == expected


def test_a_leap_second_is_the_moment_after_it() -> None:
    """Whichever of them there will be: nobody knows that years ahead."""
    midnight = datetime(2017, 1, 1, tzinfo=UTC)
    for text in ("2016-12-31T23:59:60Z", "2017-01-01T01:29:60+01:30", "2016-12-31T15:59:60-08:00"):
        assert at(text) == midnight
    assert at("2016-12-31T23:59:60.5Z") == midnight + timedelta(seconds=0.5)


@pytest.mark.parametrize("value", [0, -1, -1.5, -62135596800, "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
def test_any_year_that_a_calendar_has_is_one(value: Any) -> None:
    assert 1 <= at(value).year <= 9999


@pytest.mark.parametrize(
    "value",
    [
        *("", "noon", "1893499200", "1893499200.0", "1801012312345", "20300101T120000Z", "20300101T120000", "2030001"),
        # A day is no moment, nor is a time; and seconds are part of one.
        *("2030-01-01", "12:00", "12:00:00Z", "2030-01-01T12Z", "2030-01-01T12:00Z", "2030-W01-2T12:00:00Z"),
        *("2030-01-01T12:00:00,5Z", "2030-01-01T12:00:00.Z", "2030-01-01T12:00:00+0230", "2030-01-01T12:00:00+02"),
        *("2030-01-01_12:00:00Z", "2030-01-01X12:00:00Z", "2030-01-01  12:00:00Z", "2030-01-01\n12:00:00Z"),
        *(" 2030-01-01T12:00:00Z", "2030-01-01T12:00:00Z ", "2030-01-01T12:00:00Z\n", "2030-01-01T12:00:00 Z"),
        *("٢٠٣٠-01-01T12:00:00Z", "2030-01-01T12:00:00−02:00", "2030-01-01T12:00:00Z[UTC]", "2030/01/01T12:00:00Z"),
        *("2030-13-01T12:00:00Z", "2030-02-30T12:00:00Z", "2030-02-29T12:00:00Z", "2030-00-01T12:00:00Z"),
        *("2030-01-01T24:00:00Z", "2030-01-01T12:60:00Z", "2030-01-01T12:00:61Z", "0000-01-01T12:00:00Z"),
        *("2030-01-01T12:00:60Z", "2030-06-29T23:59:60Z", "2030-12-31T23:59:60-08:00", "+2030-01-01T12:00:00Z"),
        *(
            "2030-01-01T12:00:00+24:00",
            "2030-01-01T12:00:00+02:60",
            "2030-01-01T12:00:00+99:99",
            "-2030-01-01T12:00:00Z",
        ),
        *("0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "9999-12-31T23:59:60Z", "12030-01-01T12:00:00Z"),
        *(True, False, None, [], {}, [2030], 1e300, -1e300, 10**30, -(10**400), 253402300800, -62135596801),
    ],
)
def test_what_is_no_moment(value: Any) -> None:
    with pytest.raises(StateInvalid, match="is not a moment") as raised:
        at(value)
    assert len(str(raised.value)) < 400


def test_a_place_that_is_not_there() -> None:
    with pytest.raises(StateInvalid, match="nothing at 'missing'; there is 'due'"):
        read_moment(State.of({"due": 1}, 2**20), "missing")
