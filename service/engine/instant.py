"""A moment that a state holds: ISO 8601, in UTC where it has no offset, or Unix seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from service.core.errors import StateInvalid
from service.core.moves import Instant
from service.core.path import MISSING
from service.core.state import State

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def instant_at(state: State, place: str) -> Instant:
    """The moment at the path `place` of the state; StateInvalid where there is none."""
    value, there = state.look_up(place)
    if value is MISSING:
        raise StateInvalid(f"the state has nothing at {place!r:.200}; there is {there}")
    try:
        moment = _moment(value)
    except (ValueError, OverflowError) as error:
        raise StateInvalid(f"{place!r:.200} holds no moment: {error}") from error
    return Instant((moment - _EPOCH) // _MICROSECOND)


def _moment(value: Any) -> datetime:
    if isinstance(value, str):
        moment = datetime.fromisoformat(value.upper())  # RFC 3339 has `t` and `z` too.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _EPOCH + timedelta(seconds=value)
    raise ValueError("neither a text in ISO 8601 nor Unix seconds")
