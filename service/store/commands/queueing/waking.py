"""Wake the runs whose turn it is at a limit. A claim does this, so that polling finds every slot that has become free.

Waking gives a run a due time; the run then asks for a slot again. So a run that is woken too early does no harm, and
one that nobody has woken yet is found by the next claim.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import bindparam, exists, func, or_, select, update

from service.core.run import Run, WaitKind
from service.core.transitions import Status
from service.store.commands.queueing.slots import HEADS_MAX, Head, heads_of, limit_of, openings, slots_of
from service.store.database import local_events
from service.store.database.clock import text_of
from service.store.database.statements import ForRows, Statement, constant
from service.store.database.transaction import Transaction
from service.store.schema.limits import limits
from service.store.schema.models import runs, waits

LOOK_S = 1.0
"""How often to look for runs that wait for a limit while none is known."""
WATCH_S = 0.1
"""How often to look for free slots while runs wait for one. Events make a claim look at once."""
LIMITS_MAX = 100
"""The most limits that one claim looks at; the next claim goes on after them."""
EARLY_US = 1000
"""A due time is moved if a run could be due earlier by more than this. Times are stored to the millisecond."""

_NEXT_NAME = Statement(
    select(func.min(waits.c.name)).where(waits.c.kind == constant(WaitKind.LIMIT), waits.c.name > bindparam("after"))
)
_LIMIT = Statement(select(limits.c.max, limits.c.per_s, limits.c.started).where(limits.c.name == bindparam("name")))
_found = runs.alias("found")
# Skips locked rows: a server that has locked the run is waking or claiming it.
_WAKE = ForRows(
    lambda row: (
        update(runs)
        .where(
            runs.c.id.in_(
                select(_found.c.id)
                .where(
                    _found.c.id == row.run_id,
                    _found.c.status == constant(Status.WAITING),
                    or_(_found.c.due_at.is_(None), _found.c.due_at > row.due_at),
                )
                .with_for_update(skip_locked=True)
            )
        )
        .values(due_at=row.due_at)
        .returning(runs.c.id)
    ),
    run_id=runs.c.id,
    due_at=runs.c.due_at,
)
_HAS_QUEUE = Statement(
    select(exists().where(waits.c.kind == constant(WaitKind.LIMIT), waits.c.name == bindparam("name")))
)


class Watch:
    """Decides when a claim looks for free slots. While no run is known to wait for a limit, it looks once in LOOK_S."""

    def __init__(self) -> None:
        self._looked_at = float("-inf")
        self._has_waiters = False
        self._after = ""

    @property
    def again_s(self) -> float:
        """The number of seconds after which a claim should look again at the latest."""
        return WATCH_S if self._has_waiters else LOOK_S

    def note(self, run: Run) -> None:
        """Note a run that has asked for a slot. If it was parked, the next claim looks for free slots."""
        if run.status is Status.WAITING:
            self._has_waiters = True

    def wake(self, transaction: Transaction) -> None:
        """Wake the runs whose turn it is, unless it is too early to look again."""
        now = time.monotonic()
        if not self._has_waiters and now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        names = _names(transaction, self._after)
        has_more = len(names) == LIMITS_MAX
        waiting = [_wake_first(transaction, name) for name in names]
        self._has_waiters = has_more or self._after != "" or any(waiting)
        self._after = names[-1] if has_more else ""


def announce_free_slots(transaction: Transaction, names: Sequence[str]) -> None:
    """Make servers claim, which wakes runs, if any runs wait for the limits `names`.

    Attempts that had slots of these limits have just ended.
    """
    for name in dict.fromkeys(names):
        if transaction.one(_HAS_QUEUE, name=name)[0]:
            transaction.topics.add(local_events.CLAIMABLE)


def _names(transaction: Transaction, after: str) -> list[str]:
    """Return up to LIMITS_MAX limits after `after` that runs wait for, by one search of the index for each."""
    names: list[str] = []
    while len(names) < LIMITS_MAX:
        (name,) = transaction.one(_NEXT_NAME, after=names[-1] if names else after)
        if name is None:
            break
        names.append(name)
    return names


def _wake_first(transaction: Transaction, name: str) -> bool:
    """Give due times to the first runs of the queue, as many as there are openings. Return whether any run waits."""
    row = transaction.one(_LIMIT, name=name)
    now_us = transaction.moment.now_us
    if row is None:  # The limit was deleted, so no run need wait for it.
        times = [now_us] * HEADS_MAX
    else:
        limit = limit_of(row)
        held = slots_of(transaction, name) if limit.per_s is None else ()
        times = openings(transaction, name, limit, row[2], held, HEADS_MAX)
    heads = heads_of(transaction, name, max(1, len(times)))
    woken = [
        # Times to come are rounded up: a run that is woken earlier would ask in vain.
        {"run_id": head.place.run_id, "due_at": text_of(at_us if at_us <= now_us else at_us + 999)}
        for head, at_us in zip(heads, times, strict=False)
        if _is_to_be_woken(head, at_us)
    ]
    transaction.each(_WAKE, woken)
    return bool(heads)


def _is_to_be_woken(head: Head, at_us: int) -> bool:
    return head.status == Status.WAITING and (head.due_us is None or head.due_us > at_us + EARLY_US)
