"""Limits on attempts: at most so many at once, or so many begun within any period.

An attempt needs a slot of its limit. Waiting runs are served in order of priority, and of age within a priority.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from service.core import codec

LIMIT_NAME_CHARS_MAX = 200
"""Characters of a limit's name, which an index has."""
PER_S_MIN = 0.001
"""Times are stored to the millisecond."""
MARGIN_US_MAX = 50_000
MARGIN_PART = 0.05
"""A period is lengthened by this part of it, up to the maximum."""
PRIORITY_MIN, PRIORITY_MAX = -100, 100


class Limit(NamedTuple):
    """A limit on the attempts that name it."""

    max: int
    per_s: float | None = None
    """The period in which at most `max` attempts may begin. None: at most `max` attempts may go on at once."""


class Place(NamedTuple):
    """The place of a run in the queue for a limit. Places sort in the order in which runs get a slot."""

    rank: int
    """The run's priority, negated."""
    since_us: int
    """The beginning of the run's wait, in microseconds since 1970."""
    run_id: str


def fault_of_name(name: str) -> str | None:
    """Return what is wrong with the name of a limit, or None."""
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
    """Return how many more attempts may begin now, if `held` attempts go on."""
    return max(0, limit.max - held)


def turns(limit: Limit, started: int, begun_us: Mapping[int, int], now_us: int, count: int) -> list[int]:
    """Return the times at which the next `count` attempts may begin, if each begins as early as it may.

    Attempts are numbered from 1 in the order in which they get their slots. `started` is the number of the last one,
    and `begun_us` has the times of earlier ones by number. One that is missing began too long ago to matter. All times
    are in microseconds. An attempt may begin once a whole period has passed since the one that is `max` before it,
    and not before those with lower numbers: `may_be_postponed` relies on that.
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
    """Return whether an attempt that got its slot at `begun_us` may begin now instead.

    Within the period, no other attempt has got a slot because this one had left the period.
    """
    return limit.per_s is not None and now_us < begun_us + period_of(limit.per_s)


def period_of(per_s: float) -> int:
    """Return the period in microseconds, lengthened by a margin.

    An attempt counts from the time at which it gets its slot, and its tool is called a little later, after a commit.
    The margin makes up for that, so that the tools' own clocks see at most `max` attempts begin within a period.
    """
    return round(per_s * 1_000_000 + min(MARGIN_US_MAX, per_s * 1_000_000 * MARGIN_PART))


def admitted(free: int, waiting: Sequence[Place], asking: Iterable[Place]) -> set[Place]:
    """Return those of `asking` that get one of the `free` slots. Runs in `waiting` that come before them go first."""
    wanted = set(asking)
    first = sorted(wanted.union(waiting))[:free]
    return wanted.intersection(first)
