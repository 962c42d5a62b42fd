"""Verbs on steps. Where a step is committed: one fenced transaction, once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, null, select, update

from service.core import codec
from service.core.conditions import abridge
from service.core.errors import LeaseLost
from service.core.run import Line, Run, RunError, Step, Transition
from service.core.transitions import OVER, Status
from service.store.logs import insert_lines
from service.store.records import Lease
from service.store.sql import Statement
from service.store.states import slot_of
from service.store.tables import attempts, changes, runs, snapshots
from service.store.writer import Transaction, Writer

EVALUATED_BYTES_MAX = 1024
"""A larger operand or condition of a decision is not stored with each step: it is read back from where it is."""

# The fence: no row, no commit.
_FENCED = (
    runs.c.id == bindparam("run_id"),
    runs.c.lease_token == bindparam("token"),
    runs.c.step == bindparam("step_before"),
    runs.c.status == Status.RUNNING.value,
)

_ADVANCE = Statement(
    update(runs)
    .where(*_FENCED)
    .values(
        step=bindparam("step"),
        current_node=bindparam("node"),
        last_seq=runs.c.last_seq + bindparam("lines"),
        moved_at=bindparam("now"),
        attempt=1,
        crashes=0,
        in_flight=1,
    )
    .returning(runs.c.last_seq)
)

_REST = Statement(
    update(runs)
    .where(*_FENCED)
    .values(
        status=bindparam("status"),
        step=bindparam("step"),
        current_node=bindparam("node"),
        last_seq=runs.c.last_seq + bindparam("lines"),
        moved_at=bindparam("now"),
        attempt=bindparam("attempt"),
        crashes=0,
        error=bindparam("error"),
        finished_at=bindparam("finished_at"),
        lease_owner=null(),
        due_at=null(),
    )
    .returning(runs.c.last_seq)
)

_COMMITTED = Statement(
    select(runs.c.id).where(
        runs.c.id == bindparam("run_id"),
        runs.c.lease_token == bindparam("token"),
        runs.c.step == bindparam("step"),
        runs.c.status == bindparam("status"),
    )
)


class Steps:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def commit(
        self, lease: Lease, transition: Transition, *, started: float, finished: float, lines: Sequence[Line] = ()
    ) -> Run:
        """Make `transition` the run's next state, after `lines` of the attempt that led to it.

        One transaction: position, status, decision, changes and lines. `started` and `finished` are the
        attempt's, on the monotonic clock. Returns the run as it now is; raises LeaseLost, having written
        nothing, where the lease no longer holds. Safe to repeat when the outcome of a commit is unknown.
        """

        def verb(transaction: Transaction) -> bool:
            last_seq = _move(transaction, lease, transition, len(lines) + len(transition.lines))
            if last_seq is None:
                return _is_committed(transaction, lease, transition)
            insert_lines(transaction, lease.run_id, (*lines, *transition.lines), last_seq)
            if transition.step is not None:
                _insert_step(transaction, lease, transition.run.step, transition.step, started, finished)
            if transition.error is not None and transition.was_tried:
                _insert_failed_attempt(transaction, lease.run_id, transition.error, started, finished)
            return True

        if not await self._writer.write(verb, is_small=True):
            raise LeaseLost(lease.run_id, lease.token)
        return transition.run


def _move(transaction: Transaction, lease: Lease, transition: Transition, line_count: int) -> int | None:
    """Move the run's row, fenced; its last `seq` afterwards, or None where the fence held."""
    run = transition.run
    now = transaction.moment.text()
    place = {
        "run_id": lease.run_id,
        "token": lease.token,
        "step_before": run.step - (transition.step is not None),
        "step": run.step,
        "node": run.node,
        "lines": line_count,
        "now": now,
    }
    if run.status is Status.RUNNING:
        row = transaction.one(_ADVANCE, **place)
    else:
        row = transaction.one(
            _REST,
            **place,
            status=run.status.value,
            attempt=run.attempt,
            error=None if transition.error is None else _error_text(transition.error),
            finished_at=now if run.status in OVER else None,
        )
    return None if row is None else row[0]


def _is_committed(transaction: Transaction, lease: Lease, transition: Transition) -> bool:
    """Whether this very transition is there already: its COMMIT had looked like a failure."""
    run = transition.run
    return (
        transaction.one(_COMMITTED, run_id=run.id, token=lease.token, step=run.step, status=run.status.value)
        is not None
    )


def _insert_step(
    transaction: Transaction, lease: Lease, number: int, step: Step, started: float, finished: float
) -> None:
    moment = transaction.moment
    evaluated, is_abridged = _evaluated_text(step.decision.evaluated)
    transaction.insert(
        snapshots,
        {
            "run_id": lease.run_id,
            "step": number,
            "node": step.node,
            "attempt": step.attempt,
            "lease_token": lease.token,
            "next_node": step.decision.to,
            "reason": step.decision.reason.value,
            "evaluated": evaluated,
            "is_abridged": int(is_abridged),
            "started_at": moment.at(started),
            "finished_at": moment.at(finished),
            "duration_ms": round((finished - started) * 1000, 3),
        },
    )
    insert_changes(transaction, lease.run_id, number, step.changes)


def _evaluated_text(evaluated: Sequence[dict[str, Any]]) -> tuple[str, bool]:
    """The decision's record as JSON, and whether something large was left out of it."""
    text = codec.encode(evaluated)
    if codec.byte_length(text) <= EVALUATED_BYTES_MAX:
        return text, False
    abridged, is_abridged = abridge(evaluated, EVALUATED_BYTES_MAX)
    return codec.encode(abridged), is_abridged


def insert_changes(transaction: Transaction, run_id: str, step: int, changed: Any) -> None:
    """A row for each key that `changed` (core's Changes) sets or removes, and for no other."""

    def row(key: str, value: str | None, position: int) -> dict[str, Any]:
        slot = slot_of(key, transaction.dialect)
        beside = {"value": value, "position": position, "long_key": None if slot == key else key}
        return {"run_id": run_id, "key": slot, "step": step, **beside}

    rows = [row(key, entry.text, entry.position) for key, entry in changed.set.items()]
    rows += [row(key, None, 0) for key in changed.unset]
    transaction.insert(changes, *rows)


def _insert_failed_attempt(
    transaction: Transaction, run_id: str, error: RunError, started: float, finished: float
) -> None:
    transaction.insert(
        attempts,
        {
            "run_id": run_id,
            "step": error.step,
            "attempt": error.attempt,
            "error": codec.encode({"type": error.type, "message": error.message}),
            "started_at": transaction.moment.at(started),
            "finished_at": transaction.moment.at(finished),
        },
    )


def _error_text(error: RunError) -> str:
    return codec.encode(
        {
            "type": error.type,
            "message": error.message,
            "node": error.node,
            "step": error.step,
            "attempt": error.attempt,
        }
    )
