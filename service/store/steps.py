"""Verbs on steps. Where a step is committed: one fenced transaction, once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Table, bindparam, null, select, update

from service.core import codec
from service.core.conditions import abridge
from service.core.errors import LeaseLost
from service.core.run import Line, Run, RunError, Step, Transition
from service.core.state import Changes
from service.core.transitions import OVER, Status
from service.store.logs import rows_of_lines
from service.store.records import Lease
from service.store.sql import Each, Statement, constant
from service.store.states import slot_of
from service.store.tables import attempts, changes, log_lines, runs, snapshots
from service.store.transaction import Row, Transaction
from service.store.writer import Writer

EVALUATED_BYTES_MAX = 1024
"""A larger operand or condition of a decision is not stored with each step: it is read back from where it is."""
TOGETHER_LENGTH_MAX = 16 * 1024
"""Characters of a value that is written together with others."""


def _move(given: Any, **more: Any) -> Any:
    """Moves a run's row, fenced: no row, no commit."""
    return (
        update(runs)
        .where(
            runs.c.id == given.run_id,
            runs.c.lease_token == given.token,
            runs.c.step == given.step_before,
            runs.c.status == constant(Status.RUNNING),
        )
        .values(
            step=given.step,
            current_node=given.node,
            last_seq=runs.c.last_seq + given.lines,
            moved_at=given.now,
            crashes=constant(0),
            **more,
        )
        .returning(runs.c.id, runs.c.lease_token, runs.c.last_seq)
    )


_PLACE = {
    "run_id": runs.c.id,
    "token": runs.c.lease_token,
    "step_before": runs.c.step,
    "step": runs.c.step,
    "node": runs.c.current_node,
    "lines": runs.c.last_seq,
    "now": runs.c.moved_at,
}

_ADVANCE = Each(lambda given: _move(given, attempt=constant(1), in_flight=constant(1)), **_PLACE)

_REST = Each(
    lambda given: _move(
        given,
        status=given.status,
        attempt=given.attempt,
        error=given.error,
        finished_at=given.finished_at,
        lease_owner=null(),
        due_at=null(),
    ),
    **_PLACE,
    status=runs.c.status,
    attempt=runs.c.attempt,
    error=runs.c.error,
    finished_at=runs.c.finished_at,
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
        self,
        lease: Lease,
        transition: Transition,
        *,
        started: float,
        finished: float,
        lines: Sequence[Line] = (),
        is_alone: bool = False,
    ) -> Run:
        """Make `transition` the run's next state, after `lines` of the attempt that led to it.

        One transaction: position, status, decision, changes and lines. `started` and `finished` are the
        attempt's, on the monotonic clock. Returns the run as it now is; raises LeaseLost, having written
        nothing, where the lease no longer holds. Safe to repeat when the outcome of a commit is unknown.
        `is_alone`: no other run's step can join it, so that there is nothing to wait for.
        """
        asked = _Commit(lease, transition, started, finished, (*lines, *transition.lines))
        if not await self._writer.write_with_others(_commit_all, asked, at_once=is_alone):
            raise LeaseLost(lease.run_id, lease.token)
        return transition.run


class _Commit(NamedTuple):
    lease: Lease
    transition: Transition
    started: float
    finished: float
    lines: tuple[Line, ...]


def _commit_all(transaction: Transaction, commits: Sequence[_Commit]) -> list[bool]:
    """Whether each is committed now: statements are for all of them together, and each is fenced for itself."""
    written: dict[Table, list[dict[str, Any]]] = {snapshots: [], changes: [], attempts: [], log_lines: []}
    last_seqs = _move_all(transaction, commits)
    for commit, last_seq in zip(commits, last_seqs, strict=True):
        if last_seq is None:
            continue
        transition, run_id = commit.transition, commit.lease.run_id
        written[log_lines] += rows_of_lines(transaction, run_id, commit.lines, last_seq)
        if transition.step is not None:
            written[snapshots].append(_snapshot(transaction, commit, transition.step))
            written[changes] += rows_of_changes(transaction, run_id, transition.run.step, transition.step.changes)
        if transition.error is not None and transition.was_tried:
            written[attempts].append(_failed_attempt(transaction, commit, transition.error))
    insert_changes(transaction, written.pop(changes))
    for table, rows in written.items():
        transaction.insert(table, rows)
    return [
        last_seq is not None or _is_committed(transaction, commit)
        for commit, last_seq in zip(commits, last_seqs, strict=True)
    ]


def _move_all(transaction: Transaction, commits: Sequence[_Commit]) -> list[int | None]:
    """Move the runs' rows, fenced; the last `seq` of each afterwards, or None where the fence held."""
    going = [commit for commit in commits if commit.transition.run.status is Status.RUNNING]
    resting = [commit for commit in commits if commit.transition.run.status is not Status.RUNNING]
    now = transaction.moment.text()
    moved = transaction.each(_ADVANCE, [_place(commit, now) for commit in going])
    moved += transaction.each(_REST, [_place_of_rest(commit, now) for commit in resting])
    last_seqs = {(run_id, token): last_seq for run_id, token, last_seq in moved}
    return [last_seqs.get(commit.lease) for commit in commits]


def _place(commit: _Commit, now: str) -> dict[str, Any]:
    run = commit.transition.run
    return {
        "run_id": commit.lease.run_id,
        "token": commit.lease.token,
        "step_before": run.step - (commit.transition.step is not None),
        "step": run.step,
        "node": run.node,
        "lines": len(commit.lines),
        "now": now,
    }


def _place_of_rest(commit: _Commit, now: str) -> dict[str, Any]:
    run, error = commit.transition.run, commit.transition.error
    return _place(commit, now) | {
        "status": run.status.value,
        "attempt": run.attempt,
        "error": None if error is None else _error_text(error),
        "finished_at": now if run.status in OVER else None,
    }


def _is_committed(transaction: Transaction, commit: _Commit) -> bool:
    """Whether this very transition is there already: its COMMIT had looked like a failure."""
    run = commit.transition.run
    place = {"run_id": run.id, "token": commit.lease.token, "step": run.step, "status": run.status.value}
    return transaction.one(_COMMITTED, **place) is not None


def _snapshot(transaction: Transaction, commit: _Commit, step: Step) -> dict[str, Any]:
    moment = transaction.moment
    evaluated, is_abridged = _evaluated_text(step.decision.evaluated)
    return {
        "run_id": commit.lease.run_id,
        "step": commit.transition.run.step,
        "node": step.node,
        "attempt": step.attempt,
        "lease_token": commit.lease.token,
        "next_node": step.decision.to,
        "reason": step.decision.reason.value,
        "evaluated": evaluated,
        "is_abridged": int(is_abridged),
        "started_at": moment.at(commit.started),
        "finished_at": moment.at(commit.finished),
        "duration_ms": round((commit.finished - commit.started) * 1000, 3),
    }


def _evaluated_text(evaluated: Sequence[dict[str, Any]]) -> tuple[str, bool]:
    """The decision's record as JSON, and whether something large was left out of it."""
    text = codec.encode(evaluated)
    if codec.byte_length(text) <= EVALUATED_BYTES_MAX:
        return text, False
    abridged, is_abridged = abridge(evaluated, EVALUATED_BYTES_MAX)
    return codec.encode(abridged), is_abridged


def rows_of_changes(transaction: Transaction, run_id: str, step: int, changed: Changes) -> list[dict[str, Any]]:
    """A row for each key that `changed` sets or removes, and for no other."""

    def row(key: str, value: str | None, position: int) -> dict[str, Any]:
        slot = slot_of(key, transaction.dialect)
        beside = {"value": value, "position": position, "long_key": None if slot == key else key}
        return {"run_id": run_id, "key": slot, "step": step, **beside}

    rows = [row(key, entry.text, entry.position) for key, entry in changed.set.items()]
    return rows + [row(key, None, 0) for key in changed.unset]


def insert_changes(transaction: Transaction, rows: Sequence[Row]) -> None:
    """Write rows of `rows_of_changes`, large values one by one: a statement keeps what it was last given."""
    small: list[Row] = []
    large: list[Row] = []
    for row in rows:
        (small if row["value"] is None or len(row["value"]) <= TOGETHER_LENGTH_MAX else large).append(row)
    transaction.insert(changes, small)
    for row in large:
        transaction.insert(changes, [row])


def _failed_attempt(transaction: Transaction, commit: _Commit, error: RunError) -> dict[str, Any]:
    return {
        "run_id": commit.lease.run_id,
        "step": error.step,
        "attempt": error.attempt,
        "error": codec.encode({"type": error.type, "message": error.message}),
        "started_at": transaction.moment.at(commit.started),
        "finished_at": transaction.moment.at(commit.finished),
    }


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
