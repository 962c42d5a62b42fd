"""Verbs on steps. Where a step is committed: one fenced transaction, once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, null, select, update

from service.core import codec
from service.core.errors import LeaseLost
from service.core.routing.conditions import Decision, abridge
from service.core.run import Line, Run, RunError, Step, Transition, WaitKind
from service.core.transitions import OVER, Status
from service.store.commands.control import pause_those_asked
from service.store.commands.side_effects import take_effect
from service.store.database.clock import text_of
from service.store.database.queued_write import Touches
from service.store.database.statements import ForRows, Statement, constant
from service.store.database.transaction import Row, Transaction
from service.store.database.writer import Writer
from service.store.rows.family import lock_runs
from service.store.rows.fence import IS_RUNNING
from service.store.rows.log_lines import rows_of_lines
from service.store.rows.records import Lease
from service.store.rows.steps import NewStep, insert_steps
from service.store.rows.waits import due_text, wake_those_ready
from service.store.schema.models import attempts, log_lines, runs, signals, visits, waits

EVALUATED_BYTES_MAX = 1024
"""A larger operand or condition of a decision is not stored with each step: it is read back from where it is."""


def _move(row: Any, **more: Any) -> Any:
    """Moves a run's row, fenced: no row, no commit."""
    return (
        update(runs)
        .where(
            runs.c.id == row.run_id,
            runs.c.lease_token == row.token,
            runs.c.step == row.step_before,
            IS_RUNNING,
        )
        .values(
            step=row.step,
            current_node=row.node,
            last_seq=runs.c.last_seq + row.lines,
            moved_at=row.now,
            **more,
        )
        .returning(runs.c.id, runs.c.lease_token, runs.c.last_seq, runs.c.pause_asked)
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

_ADVANCE = ForRows(
    lambda row: _move(row, attempt=constant(1), failures=constant(0), crashes=constant(0), in_flight=constant(1)),
    **_PLACE,
)
# A commit without a step, after which the run goes on: it has started some of its children.
_STAY = ForRows(_move, **_PLACE)

_REST = ForRows(
    lambda row: _move(
        row,
        status=row.status,
        attempt=row.attempt,
        failures=row.failures,
        crashes=row.crashes,
        error=row.error,
        finished_at=row.finished_at,
        lease_owner=null(),
        due_at=row.due_at,
    ),
    **_PLACE,
    status=runs.c.status,
    attempt=runs.c.attempt,
    failures=runs.c.failures,
    crashes=runs.c.crashes,
    due_at=runs.c.due_at,
    error=runs.c.error,
    finished_at=runs.c.finished_at,
)

_COMMITTED = Statement(
    select(runs.c.status).where(
        runs.c.id == bindparam("run_id"),
        runs.c.lease_token == bindparam("token"),
        runs.c.step == bindparam("step"),
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

        One transaction: position, status, decision, changes and lines, and whatever a transition does to others (a
        signal is taken, children are started or cancelled, a parent is woken). `started` and `finished` are the
        attempt's, on the monotonic clock. Returns the run as it now is; raises LeaseLost, having written
        nothing, where the lease no longer holds. Safe to repeat when the outcome of a commit is unknown.
        `is_alone`: no other run's step can join it, so that there is nothing to wait for.
        """
        asked = _Commit(lease, transition, started, finished, (*lines, *transition.lines))
        run = await self._writer.write_with_others(
            _commit_all, asked, touches=(lease.run_id, *_touched(transition)), at_once=is_alone
        )
        if run is None:
            raise LeaseLost(lease.run_id, lease.token)
        return run


class _Commit(NamedTuple):
    lease: Lease
    transition: Transition
    started: float
    finished: float
    lines: tuple[Line, ...]


def _touched(transition: Transition) -> Touches:
    """What a commit touches beside its run and the tables of all steps: parents, and tables that few steps touch."""
    run, wait = transition.run, transition.wait
    if run.status is Status.RUNNING and not transition.has_side_effects:
        return ()
    tells_parent = run.parent_id is not None and run.status in OVER
    asks = tells_parent or (wait is not None and wait.kind in (WaitKind.SIGNAL, WaitKind.CHILDREN))
    touched = {
        str(run.parent_id): tells_parent,
        signals.name: asks or transition.consumes is not None,
        waits.name: asks or wait is not None or transition.ends_wait or transition.cancels_children,
        visits.name: bool(run.visits),
        attempts.name: transition.error is not None,
        **{child.graph_id: True for child in transition.starts},
    }
    return tuple(name for name, is_touched in touched.items() if is_touched)


def _commit_all(transaction: Transaction, commits: Sequence[_Commit]) -> list[Run | None]:
    """Each run as it is now, None where the fence held: statements are for all, and each is fenced for itself."""
    parents = _parents_to_tell(commits)
    if any(commit.transition.run.parent_id is not None for commit in commits):
        # Whoever cancels a family locks it in this order.
        lock_runs(transaction, [*parents, *(commit.lease.run_id for commit in commits)])
    moved = _move_all(transaction, commits)
    last_seqs = {(run_id, token): last_seq for run_id, token, last_seq, _ in moved}
    going = [(commit, last_seqs[commit.lease]) for commit in commits if commit.lease in last_seqs]
    _write(transaction, going)
    take_effect(transaction, [commit.transition for commit, _ in going if commit.transition.has_side_effects])
    if parents:
        wake_those_ready(transaction, parents)
    asked = [Lease(run_id, token) for run_id, token, _, pause_asked in moved if pause_asked]
    paused = pause_those_asked(transaction, asked) if asked else set()
    if paused or len(going) < len(commits):
        return [_as_found(transaction, commit, commit.lease in last_seqs, paused) for commit in commits]
    return [commit.transition.run for commit in commits]


def _parents_to_tell(commits: Sequence[_Commit]) -> set[str]:
    """Those of runs that end: they may wait for that."""
    runs_after = [commit.transition.run for commit in commits]
    return {run.parent_id for run in runs_after if run.parent_id is not None and run.status in OVER}


def _as_found(transaction: Transaction, commit: _Commit, is_moved: bool, paused: Collection[str]) -> Run | None:
    """The run where it was paused at once, or this very transition was there: its COMMIT had looked like a failure."""
    run = commit.transition.run
    if is_moved:
        return run._replace(status=Status.PAUSED) if run.id in paused else run
    row = transaction.one(_COMMITTED, run_id=run.id, token=commit.lease.token, step=run.step)
    # Paused: within the same transaction, since that was asked for.
    is_there = row is not None and row[0] in (run.status, Status.PAUSED)
    return run._replace(status=Status(row[0])) if is_there else None


def _write(transaction: Transaction, commits: Sequence[tuple[_Commit, int]]) -> None:
    """Write the rows of commits whose runs have moved, each with the last `seq` of its lines."""
    steps: list[NewStep] = []
    failed: list[Row] = []
    lines: list[Row] = []
    for commit, last_seq in commits:
        transition = commit.transition
        lines += rows_of_lines(transaction, commit.lease.run_id, commit.lines, last_seq)
        if transition.step is not None:
            steps.append(_new_step(transaction, commit, transition.step))
        if transition.error is not None:
            failed.append(_failed_attempt(transaction, commit, transition.error))
    insert_steps(transaction, steps)
    transaction.insert(attempts, failed)
    transaction.insert(log_lines, lines)


def _move_all(transaction: Transaction, commits: Sequence[_Commit]) -> list[Any]:
    """Move the runs' rows, fenced; of those that have moved what `_move` returns."""
    advancing: list[Row] = []
    staying: list[Row] = []
    resting: list[Row] = []
    now = transaction.moment.text()
    for commit in commits:
        if commit.transition.run.status is not Status.RUNNING:
            resting.append(_place_of_rest(transaction, commit, now))
        else:
            (staying if commit.transition.step is None else advancing).append(_place(commit, now))
    moved = transaction.each(_ADVANCE, advancing)
    moved += transaction.each(_STAY, staying)
    moved += transaction.each(_REST, resting)
    return moved


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


def _place_of_rest(transaction: Transaction, commit: _Commit, now: str) -> dict[str, Any]:
    run, error, wait = commit.transition.run, commit.transition.error, commit.transition.wait
    return _place(commit, now) | {
        "status": run.status.value,
        "attempt": run.attempt,
        "failures": run.failures,
        "crashes": run.crashes,
        "due_at": None if wait is None else due_text(transaction, wait),
        "error": _error_text(error) if error is not None and run.status is Status.FAILED else None,
        "finished_at": now if run.status in OVER else None,
    }


def _new_step(transaction: Transaction, commit: _Commit, step: Step) -> NewStep:
    started_at, duration_ms = _span(transaction, commit)
    evaluated, is_abridged = _evaluated_text(step.decision)
    return NewStep(
        run_id=commit.lease.run_id,
        step=commit.transition.run.step,
        node=step.node,
        attempt=step.attempt,
        lease_token=commit.lease.token,
        next_node=step.decision.to,
        reason=step.decision.reason.value,
        evaluated=evaluated,
        is_abridged=int(is_abridged),
        started_at=started_at,
        finished_at=transaction.moment.at(commit.finished),
        duration_ms=duration_ms,
        changes=step.changes,
    )


def _span(transaction: Transaction, commit: _Commit) -> tuple[str, float]:
    """When the attempt began, and how long it took: from the beginning of its wait, where it was parked."""
    since_us, moment = commit.transition.since_us, transaction.moment
    if since_us is not None:
        return text_of(since_us), max(0, moment.now_us - since_us) // 1000
    return moment.at(commit.started), round((commit.finished - commit.started) * 1000, 3)


def _evaluated_text(decision: Decision) -> tuple[str, bool]:
    """The decision's record as JSON, and whether something large was left out of it."""
    if all(_is_short(value) for record in decision.evaluated for value in record["operands"].values()):
        text = codec.encode(decision.evaluated)
        if codec.byte_length(text) <= EVALUATED_BYTES_MAX:
            return text, False
    abridged, is_abridged = abridge(decision.evaluated, EVALUATED_BYTES_MAX)
    return codec.encode(abridged), is_abridged


def _is_short(value: Any) -> bool:
    """Whether an operand is nothing of which many together could make a text too large to be tried."""
    return len(value) <= EVALUATED_BYTES_MAX if isinstance(value, str) else not isinstance(value, list | dict)


def _failed_attempt(transaction: Transaction, commit: _Commit, error: RunError) -> dict[str, Any]:
    return {
        "run_id": commit.lease.run_id,
        "step": error.step,
        "attempt": error.attempt,
        "error": codec.encode({"type": error.type, "message": error.message}),
        "started_at": _span(transaction, commit)[0],
        "finished_at": transaction.moment.at(commit.finished),
    }


def _error_text(error: RunError) -> str:
    return codec.encode(error._asdict())
