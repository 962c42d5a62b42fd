"""Limits on attempts: how many may be under way at once, or how many may begin within any period of a given length.

An attempt needs a slot of its limit. Waiting runs get slots in order of priority, the highest first. Runs of the same
priority get them in the order in which their waits began.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from service.core import codec

LIMIT_NAME_CHARS_MAX = 200
"""The maximum number of characters of a limit's name. It is bounded because an index contains the name."""
PER_S_MIN = 0.001
"""The shortest period, in seconds. Times are stored to the millisecond."""
MARGIN_US_MAX = 50_000
MARGIN_PART = 0.05
"""A period is lengthened by the fraction MARGIN_PART of itself, but by at most MARGIN_US_MAX microseconds."""
PRIORITY_MIN, PRIORITY_MAX = -100, 100


class Limit(NamedTuple):
    """A limit on the attempts of the nodes and tools that name it."""

    max: int
    per_s: float | None = None
    """The period in which at most `max` attempts may begin. None: at most `max` attempts may be under way at once."""


class Place(NamedTuple):
    """The place of a run in the queue for a limit. Places sort in the order in which runs get a slot."""

    rank: int
    """The run's priority, negated."""
    since_us: int
    """The time at which the run's wait began, in microseconds since 1970."""
    run_id: str


def fault_of_name(name: str) -> str | None:
    """Return what is wrong with the name of a limit, or None if it is valid."""
    if not name:
        return "it must not be empty"
    if len(name) > LIMIT_NAME_CHARS_MAX:
        return f"it must have at most {LIMIT_NAME_CHARS_MAX} characters"
    try:
        codec.check(name)
    except codec.ValueUnfit as unfit:
        return unfit.message
    return None


def free_slots(limit: Limit, held: int) -> int:
    """Return how many more attempts may begin now if `held` are under way. `limit` has no period."""
    return max(0, limit.max - held)


def turns(limit: Limit, started: int, begun_us: Mapping[int, int], now_us: int, count: int) -> list[int]:
    """Return the times at which the next `count` attempts may begin, if each begins as early as it may.

    Attempts are numbered from 1 in the order in which they get their slots. `started` is the number of the last attempt
    so far. `begun_us` maps the numbers of attempts to the times at which they began; an attempt that is missing began
    too long ago to matter. All times are in microseconds. Attempt n may begin once a whole period has passed since
    attempt n - `max` began, and not before attempt n - 1: `may_be_postponed` relies on this order. Raise ValueError if
    `limit` has no period.
    """
    if limit.per_s is None:
        raise ValueError("the limit has no period")
    period_us = period_of(limit.per_s)
    known = dict(begun_us)
    latest_us = now_us
    for number in range(started + 1, started + 1 + count):
        earlier = known.get(number - limit.max)
        latest_us = latest_us if earlier is None else max(latest_us, earlier + period_us)
        known[number] = latest_us
    return [known[number] for number in range(started + 1, started + 1 + count)]


def may_be_postponed(limit: Limit, begun_us: int, now_us: int) -> bool:
    """Return whether an attempt that got its slot at `begun_us` may count as begun now instead.

    It may while the period since `begun_us` lasts. Until the period ends, no other attempt can have got a slot because
    this attempt began a whole period ago.
    """
    return limit.per_s is not None and now_us < begun_us + period_of(limit.per_s)


def period_of(per_s: float) -> int:
    """Return a limit's period of `per_s` seconds in microseconds, plus a margin.

    An attempt counts as begun when it gets its slot. Its tool is called a little later, after a commit. The margin
    makes up for this delay, so that the tools' own clocks see at most `Limit.max` attempts begin within a period.
    """
    return round(per_s * 1_000_000 + min(MARGIN_US_MAX, per_s * 1_000_000 * MARGIN_PART))


def admitted(free: int, waiting: Sequence[Place], asking: Iterable[Place]) -> set[Place]:
    """Return those of `asking` that get one of the `free` slots. Runs of `waiting` with earlier places go first."""
    wanted = set(asking)
    first = sorted(wanted.union(waiting))[:free]
    return wanted.intersection(first)
