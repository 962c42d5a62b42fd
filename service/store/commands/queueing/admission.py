"""Decide which attempts get a slot of their limit, for several runs in one transaction.

The limit's row is locked meanwhile, so that two servers do not give the same slot. A slot names the lease and the step
of its attempt, and counts only while the run has both. Whatever ends the attempt thereby frees the slot, and nothing
has to release it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, select

from service.core.queueing.limits import Limit, Place, admitted
from service.core.run import Run, Transition
from service.store.commands.queueing.slots import (
    HEADS_MAX,
    Held,
    heads_of,
    limit_of,
    note_starts,
    openings,
    postpone_start,
    slots_of,
    take_slot,
)
from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.rows.park_and_wake import delete_waits
from service.store.rows.records import Lease
from service.store.schema.limits import limits

_LOCKED = Statement(
    select(limits.c.max, limits.c.per_s, limits.c.started)
    .where(limits.c.name == bindparam("name"))
    .with_for_update(key_share=True)
)


class Asking(NamedTuple):
    """The next attempt of a run, which asks for a slot."""

    lease: Lease
    run: Run
    limit: str | None
    """The limit; None if the attempt needs no slot but the run has waited for one."""
    parked: Transition
    """The transition to commit if no slot is free."""
    is_again: bool = False
    """Whether the attempt asks again because it has not begun yet. Its slot may have been lost meanwhile."""

    @property
    def key(self) -> tuple[str, int, int]:
        return (self.run.id, self.lease.token, self.run.step)


def admit(transaction: Transaction, asked: Sequence[Asking]) -> list[Asking]:
    """Give slots to those of `asked` whose turn it is. Return them, and those that need no slot.

    The caller has locked the runs' rows.
    """
    ready = [asking for asking in asked if asking.limit is None]
    for name in sorted({asking.limit for asking in asked if asking.limit is not None}):
        ready += _admit_at(transaction, name, [asking for asking in asked if asking.limit == name])
    if waited := [asking.run.id for asking in ready if asking.run.waited_for_slot is not None]:
        delete_waits(transaction, waited)
    return ready


def _admit_at(transaction: Transaction, name: str, asked: Sequence[Asking]) -> list[Asking]:
    """Give slots to those of `asked` whose turn it is, and return them."""
    row = transaction.one(_LOCKED, name=name)
    limit, started = (None, 0) if row is None else (limit_of(row), row[2])
    slots = slots_of(transaction, name)
    mine = {tuple(slot[:3]) for slot in slots if slot.is_live}
    # An attempt that has a live slot keeps it: either this command is executed again, or the attempt asks again.
    kept, new = list[Asking](), list[Asking]()
    for asking in asked:
        is_kept = asking.key in mine
        if is_kept and asking.is_again and limit is not None and limit.per_s is not None:
            is_kept = postpone_start(transaction, name, limit, asking.key)
        (kept if is_kept else new).append(asking)
    if limit is not None and new:
        new = _first(transaction, name, limit, started, slots, new)
    for asking in new:
        take_slot(transaction, name, *asking.key)
    if limit is not None:
        note_starts(transaction, name, limit, started, len(new))
    return [*kept, *new]


def _first(
    transaction: Transaction,
    name: str,
    limit: Limit,
    started: int,
    slots: Sequence[Held],
    asked: Sequence[Asking],
) -> list[Asking]:
    """Return those of `asked` that get a slot. Runs in the queue that come before them are served first."""
    now_us = transaction.moment.now_us
    # A run of `asked` has no live slot that counts here: it would have kept that slot, or the limit has a period.
    free = sum(at <= now_us for at in openings(transaction, name, limit, started, slots, HEADS_MAX + len(asked)))
    places = {_place(asking, now_us): asking for asking in asked}
    heads = heads_of(transaction, name, free + len(asked)) if free else []
    asking_ids = {asking.run.id for asking in asked}
    others = [head.place for head in heads if head.place.run_id not in asking_ids]
    return [places[place] for place in sorted(admitted(free, others, places))]


def _place(asking: Asking, now_us: int) -> Place:
    """Return the run's place in the queue. Times are stored to the millisecond."""
    waited = asking.run.waited_for_slot
    since_us = now_us // 1000 * 1000 if waited is None else waited.since_us
    return Place(-asking.run.priority, since_us, asking.run.id)


def after_slot(run: Run) -> Run:
    """Return the run as it is once it has a slot: its wait for the limit is over."""
    return run if run.waited_for_slot is None else run._replace(waited=None)
