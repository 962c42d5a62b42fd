"""Schedules: which of the ticks that have come start a run. All times are microseconds since 1970."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import islice, takewhile
from typing import NamedTuple, Protocol

CATCH_UP_MAX = 1000
"""The most missed ticks that `all` catches up with. Older ones are dropped."""
LATE_US = 5_000_000
"""A tick counts as missed when it is older than this and no server has handled it yet."""


class Overlap(StrEnum):
    """What a tick does while a run of the schedule is unfinished."""

    SKIP = "skip"
    """The tick starts no run."""
    START = "start"


class CatchUp(StrEnum):
    """Which missed ticks start a run later. A tick is missed if no server handles it within LATE_US."""

    ONE = "one"
    """The last missed tick starts a run."""
    ALL = "all"
    NONE = "none"


class Times(Protocol):
    """The times at which a schedule ticks."""

    def following(self, tick_us: int) -> int | None:
        """Return the first time after `tick_us`, or None if there is none."""

    def after(self, tick_us: int) -> Iterator[int]:
        """Yield the times after `tick_us`, in order."""

    def last(self, first_us: int, until_us: int) -> int:
        """Return the last time that is not after `until_us`. `first_us` is one of the times that qualify."""

    def newest(self, first_us: int, until_us: int, count: int) -> int:
        """Of the last `count` times from `first_us` to `until_us`, both included, return the earliest."""


class Turn(NamedTuple):
    """What a server does with a schedule when it checks the schedule."""

    starts: tuple[int, ...]
    """The ticks that start a run each, oldest first."""
    next_us: int | None
    """The next tick to handle; None if the schedule has no more ticks."""
    last_us: int | None = None
    """The last tick that this turn handles, whether or not the tick starts a run; None if it handles none."""
    skipped_us: int | None = None
    """The tick that starts no run because an earlier run is unfinished; None if no tick is skipped for this reason."""
    is_deferred: bool = False
    """Whether the next tick has come but is handled only after a run has finished."""


def take_turn(
    times: Times, next_us: int, now_us: int, catch_up: CatchUp, *, must_wait: bool = False, starts_max: int = 1
) -> Turn:
    """Return what to do at `now_us` with a schedule whose next tick is `next_us`.

    `must_wait` says that the schedule may start no run now, because an earlier one is unfinished. `starts_max` is the
    most runs to start now.
    """
    if now_us < next_us:
        return Turn((), next_us)
    if catch_up is CatchUp.ALL:
        return _catch_up(times, times.newest(next_us, now_us, CATCH_UP_MAX), now_us, must_wait, starts_max)
    last_us = times.last(next_us, now_us)
    following = times.following(last_us)
    if catch_up is CatchUp.NONE and now_us - last_us > LATE_US:
        return Turn((), following, last_us)
    return Turn((), following, last_us, last_us) if must_wait else Turn((last_us,), following, last_us)


def _catch_up(times: Times, first_us: int, now_us: int, must_wait: bool, starts_max: int) -> Turn:
    """Return the turn of a schedule whose ticks from `first_us` to `now_us` all start a run, `starts_max` at a time.

    If the schedule must wait, a tick that is on time is skipped, and missed ticks are deferred.
    """
    following = times.following(first_us)
    if must_wait:
        is_missed = now_us - first_us > LATE_US or (following is not None and following <= now_us)
        return Turn((), first_us, is_deferred=True) if is_missed else Turn((), following, first_us, first_us)
    more = islice(takewhile(lambda tick_us: tick_us <= now_us, times.after(first_us)), starts_max - 1)
    starts = (first_us, *more)
    return Turn(starts, times.following(starts[-1]), starts[-1])
