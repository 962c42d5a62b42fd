"""What counts as a moment in a state, and which one it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.core.errors import StateInvalid
from service.core.state import State
from service.engine.instant import instant_at

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def at(value: Any) -> datetime:
    state = State.of({"due": {"at": value}}, 2**20)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant_at(state, "due.at").us)


@pytest.mark.parametrize(
    "value",
    [
        *("2030-01-01T12:00:00Z", "2030-01-01t12:00:00z", "2030-01-01 12:00:00", "2030-01-01T12:00", "20300101T120000"),
        *("2030-01-01T14:30:00+02:30", "2030-01-01T12:00:00.000+00:00", 1893499200, 1893499200.0),
    ],
)
def test_moments(value: Any) -> None:
    assert at(value) == NOON


def test_a_day_is_its_beginning_and_a_fraction_counts() -> None:
    assert at("2030-01-01") == NOON - timedelta(hours=12)
    assert at(1893499200.25) == NOON + timedelta(seconds=0.25)


@pytest.mark.parametrize("value", ["", "noon", "2030-13-01", "12:00", True, None, [], {}, 1e300, -1e300, 10**30])
def test_what_is_no_moment(value: Any) -> None:
    with pytest.raises(StateInvalid, match="holds no moment"):
        at(value)


def test_a_place_that_is_not_there() -> None:
    with pytest.raises(StateInvalid, match="nothing at 'missing'; there is 'due'"):
        instant_at(State.of({"due": 1}, 2**20), "missing")
