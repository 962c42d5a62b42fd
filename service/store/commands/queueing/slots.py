"""The slots of limits, and the runs that wait for one: what the commands of this folder read and write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, case, delete, or_, select, text, update

from service.core.queueing.limits import Limit, Place, free_slots, may_be_postponed, period_of, turns
from service.core.run import WaitKind
from service.core.transitions import Status
from service.store.database.clock import microseconds, text_of
from service.store.database.statements import ForRows, Statement, constant, every_column
from service.store.database.transaction import Row, Transaction
from service.store.schema.limits import limit_starts, limits, slots
from service.store.schema.models import runs, waits

HEADS_MAX = 256
"""The most runs at the head of a queue that one transaction looks at."""
UNCLAIMED_S = 15.0
"""How long a run that was woken, and that no server has claimed, holds up the runs behind it."""
STALE_MAX = 64
"""The most slots of ended attempts that a limit keeps. If there are more, all of them are deleted."""

_IS_LIVE = and_(runs.c.lease_token == slots.c.lease_token, runs.c.step == slots.c.step, runs.c.lease_owner.is_not(None))
_SLOTS = Statement(
    select(slots.c.run_id, slots.c.lease_token, slots.c.step, case((_IS_LIVE, constant(1)), else_=constant(0)))
    .select_from(slots.join(runs, runs.c.id == slots.c.run_id))
    .where(slots.c.name == bindparam("name"))
)
_other = slots.alias("other")
# Skips locked rows: another server is about to give the slot to a new attempt of its run.
_DELETE = ForRows(
    lambda row: (
        delete(slots)
        .where(
            slots.c.run_id.in_(
                select(_other.c.run_id)
                .where(
                    _other.c.run_id == row.run_id,
                    _other.c.lease_token == row.lease_token,
                    _other.c.step == row.step,
                )
                .with_for_update(skip_locked=True)
            )
        )
        .returning(slots.c.run_id)
    ),
    run_id=slots.c.run_id,
    lease_token=slots.c.lease_token,
    step=slots.c.step,
)
_TAKE = Statement(
    lambda insert: (
        insert(slots)
        .values(every_column(slots))
        .on_conflict_do_update(
            index_elements=["run_id"],
            set_={name: bindparam(name) for name in ("name", "lease_token", "step", "since")},
        )
    )
)

_STARTS = Statement(
    select(limit_starts.c.number, limit_starts.c.begun_at).where(
        limit_starts.c.name == bindparam("name"),
        limit_starts.c.number >= bindparam("first"),
        limit_starts.c.number <= bindparam("last"),
    )
)
_FORGET = Statement(
    delete(limit_starts).where(
        limit_starts.c.name == bindparam("name"),
        limit_starts.c.number <= bindparam("last"),
        limit_starts.c.begun_at <= bindparam("until"),
    )
)
_SINCE = Statement(select(slots.c.since).where(slots.c.run_id == bindparam("run_id")))
# If several attempts got their slots at the same time, it does not matter which of their rows is changed.
_POSTPONE = Statement(
    text(
        "UPDATE limit_starts SET begun_at = :begun_at WHERE name = :name AND number = (SELECT min(number)"
        " FROM limit_starts WHERE name = :name AND begun_at >= :since AND begun_at <= :until) RETURNING number"
    )
)
_COUNT_STARTED = Statement(
    update(limits).where(limits.c.name == bindparam("limit")).values(started=bindparam("last_started"))
)

# A run that was woken long ago, and that no server has claimed since, does not hold up the runs behind it. Neither does
# a paused run.
_HEADS = Statement(
    select(waits.c.run_id, waits.c.rank, waits.c.since, runs.c.status, runs.c.due_at)
    .select_from(waits.join(runs, runs.c.id == waits.c.run_id))
    .where(
        waits.c.kind == constant(WaitKind.LIMIT),
        waits.c.name == bindparam("name"),
        runs.c.status != constant(Status.PAUSED),
        or_(runs.c.due_at.is_(None), runs.c.due_at > bindparam("lapsed")),
    )
    .order_by(waits.c.rank, waits.c.since, waits.c.run_id)
    .limit(bindparam("count"))
)


class Head(NamedTuple):
    """A run at the head of a queue."""

    place: Place
    status: str
    due_us: int | None
    """The time at which the run may be claimed, or at which its lease ends. None: it was not woken yet."""


class Held(NamedTuple):
    """A row of _SLOTS. The fields are in the order of its columns."""

    run_id: str
    lease_token: int
    step: int
    is_live: bool


def slots_of(transaction: Transaction, name: str) -> list[Held]:
    """Return the slots of the limit. If many are of attempts that have ended, delete those."""
    found = [Held(run_id, token, step, bool(live)) for run_id, token, step, live in transaction.all(_SLOTS, name=name)]
    stale = [slot for slot in found if not slot.is_live]
    if len(stale) > STALE_MAX:
        transaction.each(_DELETE, [{name: getattr(slot, name) for name in Held._fields[:3]} for slot in stale])
    return found


def take_slot(transaction: Transaction, name: str, run_id: str, lease_token: int, step: int) -> None:
    """Give a slot of the limit to the attempt. It replaces the slot of an earlier attempt of its run."""
    since = transaction.moment.text()
    transaction.execute(_TAKE, run_id=run_id, name=name, lease_token=lease_token, step=step, since=since)


def heads_of(transaction: Transaction, name: str, count: int) -> list[Head]:
    """Return the first `count` runs of the queue: those that wait, and those that were claimed and will ask again."""
    lapsed = transaction.moment.text(later_s=-UNCLAIMED_S)
    rows = transaction.all(_HEADS, name=name, lapsed=lapsed, count=count)
    return [
        Head(
            Place(rank, microseconds(since), run_id),
            status,
            None if due_at is None else microseconds(due_at),
        )
        for run_id, rank, since, status, due_at in rows
    ]


def openings(
    transaction: Transaction, name: str, limit: Limit, started: int, held: Sequence[Held], count: int
) -> list[int]:
    """Return the times in microseconds at which the next attempts may begin: those that are known, at most `count`."""
    now_us = transaction.moment.now_us
    if limit.per_s is None:
        return [now_us] * min(count, free_slots(limit, sum(slot.is_live for slot in held)))
    count = min(count, limit.max)
    first = started + 1 - limit.max
    rows = transaction.all(_STARTS, name=name, first=first, last=first + count - 1)
    return turns(limit, started, {number: microseconds(at) for number, at in rows}, now_us, count)


def note_starts(transaction: Transaction, name: str, limit: Limit, started: int, count: int) -> None:
    """If `limit` has a period, record `count` attempts that begin now, and delete records from before the period."""
    if limit.per_s is None or not count:
        return
    now_us = transaction.moment.now_us
    begun_at = _begun_at(now_us)
    rows: list[Row] = [
        {"name": name, "number": number, "begun_at": begun_at} for number in range(started + 1, started + count + 1)
    ]
    transaction.insert(limit_starts, rows)
    transaction.execute(_COUNT_STARTED, limit=name, last_started=started + count)
    until = text_of(now_us - period_of(limit.per_s))
    transaction.execute(_FORGET, name=name, last=started + count - limit.max, until=until)


def postpone_start(transaction: Transaction, name: str, limit: Limit, key: tuple[str, int, int]) -> bool:
    """Let an attempt that got its slot earlier count as begun now. Return False if it needs a new slot instead."""
    now_us = transaction.moment.now_us
    since_us = microseconds(transaction.one(_SINCE, run_id=key[0])[0])
    if not may_be_postponed(limit, since_us, now_us):
        return False
    since, until = text_of(since_us), text_of(since_us + 1000)
    found = transaction.one(_POSTPONE, name=name, begun_at=_begun_at(now_us), since=since, until=until)
    if found is not None:
        take_slot(transaction, name, *key)
    return found is not None


def _begun_at(us: int) -> str:
    """Return a time as `limit_starts` has it: rounded up, so that the period never ends too early."""
    return text_of(us + 999)


def limit_of(row: Any) -> Limit:
    """Return the limit of a row that begins with its columns `max` and `per_s`."""
    return Limit(row[0], row[1])
