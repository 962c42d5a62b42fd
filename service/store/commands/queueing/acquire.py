"""Give the next attempt of a run a slot of its limit, or park the run until there is one.

The limit's row is locked meanwhile, so that two servers do not give the same slot. A slot is tied to the lease and to
the step: whatever ends the attempt frees the slot, and nothing has to release it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, select

from service.core.errors import LeaseLost
from service.core.queueing.limits import Limit, Place, admitted
from service.core.run import Run, Transition, WaitKind
from service.store.commands.commit import Commit, Moved, commit_all
from service.store.commands.queueing.slots import (
    HEADS_MAX,
    Held,
    heads_of,
    limit_of,
    note_starts,
    openings,
    slots_of,
    take_slot,
)
from service.store.commands.queueing.waking import Watch
from service.store.database.statements import ForRows, Statement
from service.store.database.transaction import Transaction
from service.store.database.writer import Writer
from service.store.rows.family import lock_runs
from service.store.rows.fence import IS_RUNNING
from service.store.rows.park_and_wake import delete_waits
from service.store.rows.records import Lease
from service.store.schema.limits import limits
from service.store.schema.models import runs

_LOCKED = Statement(
    select(limits.c.max, limits.c.per_s, limits.c.started)
    .where(limits.c.name == bindparam("name"))
    .with_for_update(key_share=True)
)
_HELD = ForRows(
    lambda row: select(runs.c.id).where(
        runs.c.id == row.run_id, runs.c.lease_token == row.token, runs.c.step == row.step, IS_RUNNING
    ),
    run_id=runs.c.id,
    token=runs.c.lease_token,
    step=runs.c.step,
)


class Asking(NamedTuple):
    """The next attempt of a run, which asks for a slot."""

    lease: Lease
    run: Run
    limit: str | None
    """None: it needs no slot, but the run has waited for one."""
    parked: Transition
    """The transition to commit if no slot is free."""
    is_again: bool = False
    """Whether the attempt has had a slot for so long, without having begun, that it may be lost."""

    @property
    def key(self) -> tuple[str, int, int]:
        return (self.run.id, self.lease.token, self.run.step)


class AcquireCommands:
    def __init__(self, writer: Writer, watch: Watch, lease_s: float) -> None:
        self._writer = writer
        self._watch = watch
        self._lease_s = lease_s

    async def acquire(self, asking: Asking, *, is_alone: bool = False) -> Run:
        """Return the run with a slot for its next attempt, or parked if there is none. Raise LeaseLost."""
        run = await self.try_to_acquire(asking, is_alone=is_alone)
        if run is None:
            raise LeaseLost(asking.lease.run_id, asking.lease.token)
        return run

    async def try_to_acquire(self, asking: Asking, *, is_alone: bool = False) -> Run | None:
        """Do the same, but return None if the lease does not hold, or the run is at another step."""
        touches = (asking.lease.run_id, f"limit {asking.limit}")
        return await self._writer.write_with_others(self._acquire_all, asking, touches=touches, at_once=is_alone)

    def _acquire_all(self, transaction: Transaction, asked: Sequence[Asking]) -> list[Run | None]:
        lock_runs(transaction, [asking.run.id for asking in asked])
        rows = [{"run_id": each.run.id, "token": each.lease.token, "step": each.run.step} for each in asked]
        held = {run_id for (run_id,) in transaction.each(_HELD, rows)}
        going = [asking for asking in asked if asking.run.id in held]
        ready = [asking for asking in going if asking.limit is None]
        for name in sorted({asking.limit for asking in going if asking.limit is not None}):
            ready += self._admit(transaction, name, [asking for asking in going if asking.limit == name])
        keys = {asking.key for asking in ready}
        waited = [asking.run.id for asking in ready if _has_waited(asking.run)]
        if waited:
            delete_waits(transaction, waited)
        denied = [asking for asking in going if asking.key not in keys]
        parked = dict(zip([asking.key for asking in denied], self._park(transaction, denied), strict=True))
        return [_after_slot(asking.run) if asking.key in keys else parked.get(asking.key) for asking in asked]

    def _admit(self, transaction: Transaction, name: str, asked: Sequence[Asking]) -> list[Asking]:
        """Give slots to those of `asked` whose turn it is, and return them."""
        row = transaction.one(_LOCKED, name=name)
        limit, started = (None, 0) if row is None else (limit_of(row), row[2])
        slots = slots_of(transaction, name)
        is_rate = limit is not None and limit.per_s is not None
        mine = {tuple(slot[:3]) for slot in slots if slot.is_live}
        # A live slot of this very attempt: the command is executed again, or the attempt makes sure of its slot.
        kept = [asking for asking in asked if asking.key in mine and not (is_rate and asking.is_again)]
        new = [asking for asking in asked if asking not in kept]
        if limit is not None:
            new = self._first(transaction, name, limit, started, slots, new)
        for asking in new:
            take_slot(transaction, name, *asking.key)
        if limit is not None:
            note_starts(transaction, name, limit, started, len(new))
        return [*kept, *new]

    def _first(
        self,
        transaction: Transaction,
        name: str,
        limit: Limit,
        started: int,
        slots: Sequence[Held],
        asked: Sequence[Asking],
    ) -> list[Asking]:
        """Return those of `asked` that get a slot before the runs that wait."""
        now_us = transaction.moment.now_us
        # A slot of an earlier attempt under the same lease and step cannot be live: the attempt is still to begin.
        free = sum(at <= now_us for at in openings(transaction, name, limit, started, slots, HEADS_MAX))
        places = {_place(asking, now_us): asking for asking in asked}
        heads = heads_of(transaction, name, free + len(asked), self._lease_s) if free else []
        asking_ids = {asking.run.id for asking in asked}
        others = [head.place for head in heads if head.place.run_id not in asking_ids]
        return [places[place] for place in sorted(admitted(free, others, places))]

    def _park(self, transaction: Transaction, denied: Sequence[Asking]) -> list[Run | None]:
        if not denied:
            return []
        self._watch.note_waiter()
        commits = [Commit(each.lease, (Moved(each.parked, 0.0, 0.0, each.parked.lines),)) for each in denied]
        return commit_all(transaction, commits)


def _place(asking: Asking, now_us: int) -> Place:
    """Return the run's place in the queue. Times are stored to the millisecond."""
    waited = asking.run.waited
    since_us = waited.since_us if waited is not None and waited.kind is WaitKind.LIMIT else now_us // 1000 * 1000
    return Place(-asking.run.priority, since_us, asking.run.id)


def _has_waited(run: Run) -> bool:
    return run.waited is not None and run.waited.kind is WaitKind.LIMIT


def _after_slot(run: Run) -> Run:
    """Return the run as it is once it has a slot: its wait for the limit is over."""
    return run._replace(waited=None) if _has_waited(run) else run
