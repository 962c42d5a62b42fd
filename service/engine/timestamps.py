"""Read a moment from a state: an RFC 3339 date and time (UTC if it has no offset), or Unix seconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from service.core.errors import StateInvalid
from service.core.moves import Moment
from service.core.state import State
from service.core.syntax.path import MISSING

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_DATE_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))?"
)
_EXPECTED = "a moment must be a text like '2030-01-31T09:30:00Z' (RFC 3339), or a number of seconds since 1970"


def read_moment(state: State, place: str) -> Moment:
    """Return the moment at the path `place` of the state. Raise StateInvalid if there is none."""
    value, there = state.look_up(place)
    if value is MISSING:
        raise StateInvalid(f"the state has nothing at {place!r:.200}; there is {there}")
    try:
        moment = _moment(value)
    except (ValueError, OverflowError) as error:
        raise StateInvalid(f"the value at {place!r:.200} is not a moment: {error}") from error
    return Moment((moment - _EPOCH) // _MICROSECOND)


def _moment(value: Any) -> datetime:
    if isinstance(value, str):
        return _read(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return _EPOCH + timedelta(seconds=value)
        except OverflowError as error:
            raise ValueError("the seconds lie outside the years 1 to 9999") from error
    raise ValueError(_EXPECTED)


def _read(text: str) -> datetime:
    """Parse an RFC 3339 text. A fraction finer than microseconds is rounded up, so that no run wakes early."""
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r:.100} has another format; {_EXPECTED}")
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    leap = second == 60
    try:
        moment = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=UTC)
        moment -= _offset(*found.groups()[7:])
        if leap:
            moment = _after_leap(moment)
        return moment + _fraction(found[7] or "")
    except OverflowError as error:
        raise ValueError(f"{text!r:.100} lies outside the years 1 to 9999") from error
    except ValueError as error:
        raise ValueError(f"{text!r:.100} does not exist: {error}") from error


def _offset(sign: str | None, hours: str | None, minutes: str | None) -> timedelta:
    ahead = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    return -ahead if sign == "-" else ahead


def _after_leap(before: datetime) -> datetime:
    """Return the moment after a leap second, as Unix time has none. `before` is the second before the leap second."""
    after = before + timedelta(seconds=1)
    if (after.day, after.hour, after.minute) != (1, 0, 0):
        raise ValueError("a leap second must be the last second of a month in UTC")
    return after


def _fraction(digits: str) -> timedelta:
    return timedelta(microseconds=int(digits[:6].ljust(6, "0")) + (digits[6:].strip("0") != ""))
