"""Schedules: which of the ticks that have come start a run. All times are microseconds since 1970."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import islice, takewhile
from typing import NamedTuple, Protocol

CATCH_UP_MAX = 1000
"""The most missed ticks that `all` catches up with. Older ones are dropped."""
LATE_US = 5_000_000
"""A tick that no server has taken for this long is missed."""


class Overlap(StrEnum):
    """What a tick does while a run of the schedule is unfinished."""

    SKIP = "skip"
    """The tick starts no run."""
    START = "start"


class CatchUp(StrEnum):
    """Which of the ticks that were missed, because no server was running, start a run later."""

    ONE = "one"
    """The last missed tick starts a run."""
    ALL = "all"
    NONE = "none"


class Times(Protocol):
    """The times at which a schedule ticks."""

    def following(self, tick_us: int) -> int | None:
        """Return the time after `tick_us`, if there is one."""

    def after(self, tick_us: int) -> Iterator[int]:
        """Yield the times after `tick_us`."""

    def last(self, first_us: int, until_us: int) -> int:
        """Return the last time up to `until_us`; `first_us` is one."""

    def newest(self, first_us: int, until_us: int, count: int) -> int:
        """Return the earliest of the last `count` times from `first_us` up to `until_us`."""


class Turn(NamedTuple):
    """What to do with a schedule when a server checks it."""

    starts: tuple[int, ...]
    """The ticks that start a run each, oldest first."""
    next_us: int | None
    """The next tick, or None after the last one."""
    last_us: int | None = None
    """The last tick that is over."""
    skipped_us: int | None = None
    """The tick that starts no run because another one is unfinished."""
    is_deferred: bool = False
    """Whether the next tick has come, and is left until a run has finished."""


def take_turn(
    times: Times, next_us: int, now_us: int, catch_up: CatchUp, *, must_wait: bool = False, starts_max: int = 1
) -> Turn:
    """Return what a schedule does at `now_us` if its next tick is `next_us`.

    `must_wait`: a run of it is unfinished, and it does not start another one meanwhile.
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
    """Return the turn in which every tick from `first_us` up to now starts a run, at most `starts_max` of them now.

    If it must wait, a tick that is on time is skipped, and missed ones are left for later.
    """
    following = times.following(first_us)
    if must_wait:
        is_missed = now_us - first_us > LATE_US or (following is not None and following <= now_us)
        return Turn((), first_us, is_deferred=True) if is_missed else Turn((), following, first_us, first_us)
    more = islice(takewhile(lambda tick_us: tick_us <= now_us, times.after(first_us)), starts_max - 1)
    starts = (first_us, *more)
    return Turn(starts, times.following(starts[-1]), starts[-1])
