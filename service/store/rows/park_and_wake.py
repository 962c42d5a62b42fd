"""Park runs, and wake those whose wait is over.

A run that waits has a row in `waits`. Time ends a wait by means of `runs.due_at`: a claim finds the run like a queued
one. A signal or a child can end a wait too, and two commands check for that (`wake_those_ready`). The command that
parks the run checks after it has written the wait. The command that sends the signal or ends the child checks after it
has written that. Both lock the run's row, so the second one sees the rows of the first. No wake-up is lost.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import and_, delete, exists, func, not_, or_, select, update

from service.core.run import Run, Wait, Waited, WaitKind
from service.core.transitions import Status
from service.store.database import local_events
from service.store.database.clock import microseconds, text_of
from service.store.database.statements import ForRows, constant
from service.store.database.transaction import Transaction
from service.store.schema.kept import OPEN
from service.store.schema.models import runs, signals, waits

NEAR_S = 1.0
"""How many seconds ahead a claim looks for the next due run. A supervisor claims at least this often anyway."""
NEVER = "9999-12-31T00:00:00.000Z"
"""The due time of a queued run that is left to servers which have its tool."""

_DELETE = ForRows(
    lambda row: delete(waits).where(waits.c.run_id.in_(select(row.run_id))).returning(waits.c.run_id),
    run_id=waits.c.run_id,
)

_WAITS_OF = ForRows(
    lambda row: select(waits.c.run_id, waits.c.kind, waits.c.since, waits.c.due_at).where(waits.c.run_id == row.run_id),
    run_id=waits.c.run_id,
)

_child = runs.alias("child")


def children_of(child: Any, parent_id: Any, step: Any, attempt: Any) -> Any:
    """Return the condition for the children of an attempt of a parent's step. To use their index, add one on status."""
    return and_(child.c.parent_id == parent_id, child.c.parent_step == step, child.c.parent_attempt == attempt)


FAILED = [constant(status) for status in (Status.FAILED, Status.CANCELLED)]

_OF_STEP = children_of(_child, runs.c.id, runs.c.step + constant(1), runs.c.attempt)

_HAS_MAIL = exists(
    select(signals.c.number)
    .where(signals.c.run_id == runs.c.id, signals.c.step.is_(None), signals.c.name == waits.c.name)
    .correlate(runs, waits)
)
_HAS_FAILED = exists(select(_child.c.id).where(_OF_STEP, _child.c.status.in_(FAILED)).correlate(runs))
_HAS_OPEN = exists(select(_child.c.id).where(_OF_STEP, _child.c.status.in_(OPEN)).correlate(runs))
_COUNT_OF_OPEN = select(func.count()).where(_OF_STEP, _child.c.status.in_(OPEN)).correlate(runs).scalar_subquery()
# Evaluated whenever a child ends, so it must be cheap: the unfinished children are counted only if `max_parallel`
# bounds their number.
_FEW_ARE_OPEN = or_(
    and_(waits.c.open_max == constant(0), not_(_HAS_OPEN)),
    and_(waits.c.open_max > constant(0), waits.c.open_max >= _COUNT_OF_OPEN),
)

_IS_OVER = or_(
    and_(waits.c.kind == constant(WaitKind.SIGNAL), _HAS_MAIL),
    and_(waits.c.kind == constant(WaitKind.CHILDREN), or_(_HAS_FAILED, _FEW_ARE_OPEN)),
)

_WAKE = ForRows(
    lambda row: (
        update(runs)
        .where(
            runs.c.id == row.run_id,
            runs.c.status == constant(Status.WAITING),
            # A run that is due already keeps its place in the queue.
            or_(runs.c.due_at.is_(None), runs.c.due_at > row.now),
            exists(select(waits.c.run_id).where(waits.c.run_id == runs.c.id, _IS_OVER).correlate(runs)),
        )
        .values(due_at=row.now)
        .returning(runs.c.id)
    ),
    run_id=runs.c.id,
    now=runs.c.due_at,
)


def due_text(transaction: Transaction, wait: Wait) -> str | None:
    """Return the earlier of the two times at which `wait` ends by itself, in the database's form. None: it has none."""
    moment = transaction.moment
    times = [] if wait.due_us is None else [wait.due_us]
    if wait.kind is WaitKind.SLEEP:  # A moment of the database's clock, which may be behind the store's time.
        times = [moment.by_calendar(us) for us in times]
    if wait.later_s is not None:
        times.append(moment.now_us + round(wait.later_s * 1_000_000))
    return text_of(min(times)) if times else None


def park(transaction: Transaction, parked: Sequence[tuple[Run, Wait]]) -> None:
    """Insert the waits of parked runs. The caller has updated their rows, and then wakes those that need not wait."""
    delete_waits(transaction, [run.id for run, _ in parked])
    transaction.insert(waits, [_row(transaction, run, wait) for run, wait in parked])


def _row(transaction: Transaction, run: Run, wait: Wait) -> dict[str, Any]:
    return {
        "run_id": run.id,
        "kind": wait.kind.value,
        "name": wait.name,
        "since": transaction.moment.text() if wait.since_us is None else text_of(wait.since_us),
        "due_at": due_text(transaction, wait),
        "open_max": wait.open_max,
        "rank": -run.priority if wait.kind is WaitKind.LIMIT else None,
    }


def delete_waits(transaction: Transaction, run_ids: Collection[str]) -> None:
    """Delete the waits of runs that no longer wait."""
    transaction.each(_DELETE, [{"run_id": run_id} for run_id in run_ids])


def wake_those_ready(transaction: Transaction, run_ids: Collection[str]) -> None:
    """Make those of `run_ids` due whose wait was ended by something other than time."""
    now = transaction.moment.text()
    if transaction.each(_WAKE, [{"run_id": run_id, "now": now} for run_id in run_ids]):
        transaction.topics.add(local_events.CLAIMABLE)


def waits_of(transaction: Transaction, run_ids: Collection[str]) -> dict[str, Waited]:
    """Return what newly claimed runs have waited for, by run id. Runs that have not waited are missing."""
    now_us = transaction.moment.now_us
    found = {}
    for run_id, kind, since, due_at in transaction.each(_WAITS_OF, [{"run_id": run_id} for run_id in run_ids]):
        due_us = None if due_at is None else microseconds(due_at)
        is_over = due_us is not None and due_us <= now_us
        found[run_id] = Waited(WaitKind(kind), microseconds(since), due_us, is_over, now_us)
    return found
