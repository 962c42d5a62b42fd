"""Which ticks start a run: on time, late, after a downtime, and while another run is unfinished."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.core.operations.schedule import CATCH_UP_MAX, LATE_US, CatchUp, Turn, take_turn

S = 1_000_000


class Every:
    """Ticks at all multiples of `every_us`, or at those up to `until_us`."""

    def __init__(self, every_us: int, until_us: int | None = None) -> None:
        self._every_us = every_us
        self._until_us = until_us

    def following(self, tick_us: int) -> int | None:
        return next(self.after(tick_us), None)

    def after(self, tick_us: int) -> Iterator[int]:
        tick_us += self._every_us - tick_us % self._every_us
        while self._until_us is None or tick_us <= self._until_us:
            yield tick_us
            tick_us += self._every_us

    def last(self, first_us: int, until_us: int) -> int:
        return max(first_us, until_us - until_us % self._every_us)

    def newest(self, first_us: int, until_us: int, count: int) -> int:
        return max(first_us, self.last(first_us, until_us) - (count - 1) * self._every_us)


MINUTE = Every(60 * S)


@pytest.mark.parametrize("catch_up", CatchUp)
def test_a_tick_on_time_starts_a_run_whatever_is_caught_up_with(catch_up: CatchUp) -> None:
    assert take_turn(MINUTE, 60 * S, 60 * S - 1, catch_up) == Turn((), 60 * S)
    assert take_turn(MINUTE, 60 * S, 61 * S, catch_up) == Turn((60 * S,), 120 * S, 60 * S)


@pytest.mark.parametrize("catch_up", CatchUp)
def test_a_tick_on_time_is_skipped_while_a_run_is_unfinished(catch_up: CatchUp) -> None:
    assert take_turn(MINUTE, 60 * S, 61 * S, catch_up, must_wait=True) == Turn((), 120 * S, 60 * S, 60 * S)


def test_after_a_downtime_one_starts_the_last_tick() -> None:
    assert take_turn(MINUTE, 60 * S, 330 * S, CatchUp.ONE) == Turn((300 * S,), 360 * S, 300 * S)
    assert take_turn(MINUTE, 60 * S, 330 * S, CatchUp.ONE, must_wait=True) == Turn((), 360 * S, 300 * S, 300 * S)


def test_after_a_downtime_none_starts_only_what_is_on_time() -> None:
    assert take_turn(MINUTE, 60 * S, 330 * S, CatchUp.NONE) == Turn((), 360 * S, 300 * S)
    assert take_turn(MINUTE, 60 * S, 300 * S + LATE_US, CatchUp.NONE).starts == (300 * S,)
    assert take_turn(MINUTE, 60 * S, 60 * S + LATE_US + 1, CatchUp.NONE) == Turn((), 120 * S, 60 * S)


def test_after_a_downtime_all_starts_every_tick_in_order() -> None:
    turn = take_turn(MINUTE, 60 * S, 330 * S, CatchUp.ALL, starts_max=3)
    assert turn == Turn((60 * S, 120 * S, 180 * S), 240 * S, 180 * S)
    assert take_turn(MINUTE, 240 * S, 330 * S, CatchUp.ALL, starts_max=3).starts == (240 * S, 300 * S)


def test_all_drops_what_is_older_than_the_newest_thousand() -> None:
    turn = take_turn(MINUTE, 60 * S, 60 * S * 5000, CatchUp.ALL)
    assert turn.starts == (60 * S * (5000 - CATCH_UP_MAX + 1),)


def test_all_leaves_missed_ticks_until_the_run_before_is_over() -> None:
    assert take_turn(MINUTE, 60 * S, 330 * S, CatchUp.ALL, must_wait=True) == Turn((), 60 * S, is_deferred=True)
    late = 60 * S + LATE_US + 1
    assert take_turn(MINUTE, 60 * S, late, CatchUp.ALL, must_wait=True) == Turn((), 60 * S, is_deferred=True)


@pytest.mark.parametrize("catch_up", CatchUp)
def test_the_last_tick_of_all_is_the_last(catch_up: CatchUp) -> None:
    assert take_turn(Every(60 * S, 60 * S), 60 * S, 61 * S, catch_up) == Turn((60 * S,), None, 60 * S)
