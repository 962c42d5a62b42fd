"""Commit a step at most once, in one transaction. It writes nothing of a run whose lease no longer holds.

Several steps of pure tools are committed together, as a chain: one fenced UPDATE moves the run's row over all of them,
and each step has rows of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, Protocol

from sqlalchemy import bindparam, null, select, update

from service.core import codec
from service.core.run import Line, Run, RunError, Step, Transition
from service.core.state import Changes
from service.core.transitions import OVER, Status
from service.store.commands.control import apply_pauses
from service.store.commands.queueing.admission import Asking, admit, after_slot
from service.store.commands.queueing.waking import announce_free_slots
from service.store.commands.side_effects import apply_side_effects
from service.store.database.clock import text_of
from service.store.database.statements import ForRows, Statement, constant
from service.store.database.transaction import Row, Transaction
from service.store.rows.family import lock_runs
from service.store.rows.fence import IS_RUNNING
from service.store.rows.log_lines import NewLine, insert_lines, rows_of_lines
from service.store.rows.operations.deliveries import announce
from service.store.rows.park_and_wake import due_text, wake_those_ready
from service.store.rows.records import Lease
from service.store.rows.steps import NewStep, evaluated_text, insert_steps
from service.store.schema.models import attempts, runs

_RETURNED = (runs.c.id, runs.c.lease_token, runs.c.last_seq, runs.c.pause_asked)


def _update(row: Any, *, returning: tuple[Any, ...] = _RETURNED, **more: Any) -> Any:
    """Return the fenced UPDATE of a run's row. If it finds no row, the lease was lost, and nothing is committed."""
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
        .returning(*returning)
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
    lambda row: _update(row, attempt=constant(1), failures=constant(0), crashes=constant(0), in_flight=constant(1)),
    **_PLACE,
)
# For a commit that completes no step but leaves the run running, because it has started only some of the children.
_STAY = ForRows(_update, **_PLACE)

_REST = ForRows(
    lambda row: _update(
        row,
        returning=(*_RETURNED, runs.c.notify),
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


class Moved(NamedTuple):
    """A transition, the start and end of its attempt on the monotonic clock, and the log lines of both in order."""

    transition: Transition
    started: float
    finished: float
    lines: tuple[Line, ...]


class Commit(NamedTuple):
    """Successive transitions of one run. All but the last are steps after which the run stays running."""

    lease: Lease
    moves: Sequence[Moved]
    last: Transition
    """The transition of the last move."""
    frees: str | None = None
    """The limit whose slot the last attempt had. None: it had no slot."""
    asking: Asking | None = None
    """The next attempt's request for a slot. None: it asks for none."""
    is_ahead: bool = False
    """Whether the run goes on without waiting for this commit."""

    def sealed(self) -> Commit:
        return self


class Commits(Protocol):
    """A commit, or a chain, which becomes a commit when its transaction begins."""

    def sealed(self) -> Commit: ...


def commit_all(transaction: Transaction, queued: Sequence[Commits]) -> list[Run | None]:
    """Commit `queued`. Return each run as it is then, or None if its lease was lost. Each statement serves all runs."""
    commits = [each.sealed() for each in queued]
    parents = _lock_families(transaction, commits)
    updated, telling = _update_all(transaction, commits)
    # Loops and no comprehensions: most batches have one commit, and then each comprehension costs a call of its own.
    last_seqs, pausing = {}, []
    for run_id, token, last_seq, pause_asked in updated:
        last_seqs[run_id, token] = last_seq
        if pause_asked:
            pausing.append(Lease(run_id, token))
    going, frees = [], []
    for commit in commits:
        if commit.lease in last_seqs:
            going.append((commit, last_seqs[commit.lease]))
            if commit.frees is not None:
                frees.append(commit.frees)
    apply_side_effects(transaction, _write(transaction, going))
    if parents:
        wake_those_ready(transaction, parents)
    if frees:
        announce_free_slots(transaction, frees)
    paused = apply_pauses(transaction, pausing) if pausing else set()
    if telling:
        announce(transaction, telling - paused)
    found: list[Run | None] = [commit.last.run for commit in commits]
    if paused or len(going) < len(commits):
        found = [_as_found(transaction, commit, commit.lease in last_seqs, paused) for commit in commits]
    return _enter_next(transaction, commits, found)


def _enter_next(transaction: Transaction, commits: Sequence[Commit], found: list[Run | None]) -> list[Run | None]:
    """Give slots to the next attempts of the runs that go on and ask for one. Return the runs as they are then."""
    asked = []
    for commit, run in zip(commits, found, strict=True):
        if commit.asking is not None and run is not None and run.status is Status.RUNNING:
            asked.append(commit.asking)
    if not asked:
        return found
    entered = enter_all(transaction, asked)
    return [run if run is None else entered.get(run.id, run) for run in found]


def enter_all(transaction: Transaction, asked: Sequence[Asking]) -> dict[str, Run]:
    """Give slots to those of `asked` whose turn it is, and park the others. Return the runs by id.

    The caller has locked the runs' rows and made sure that their leases hold.
    """
    ready = admit(transaction, asked)
    runs_after = {asking.run.id: after_slot(asking.run) for asking in ready}
    denied = [asking for asking in asked if asking.run.id not in runs_after]
    if denied:
        parking = [
            Commit(each.lease, (Moved(each.parked, 0.0, 0.0, each.parked.lines),), each.parked) for each in denied
        ]
        runs_after |= {run.id: run for run in commit_all(transaction, parking) if run is not None}
    return runs_after


def _lock_families(transaction: Transaction, commits: Sequence[Commit]) -> set[str]:
    """Return the parents of the runs that end, which may wait for them. If any run has a parent, lock all first."""
    has_parent, parents = False, set()
    for commit in commits:
        run = commit.last.run
        if run.parent_id is not None:
            has_parent = True
            if run.status in OVER:
                parents.add(run.parent_id)
    if has_parent:
        # Without a common order, this transaction and a cancel of the family could wait for each other's locks.
        lock_runs(transaction, [*parents, *(commit.lease.run_id for commit in commits)])
    return parents


def _as_found(transaction: Transaction, commit: Commit, is_updated: bool, paused: Collection[str]) -> Run | None:
    """Return the run as it is stored, or None if the lease was lost.

    The lease was not lost if an earlier COMMIT of unknown outcome has stored these very transitions (see `repeatable`).
    """
    run = commit.last.run
    if is_updated:
        return run._replace(status=Status.PAUSED) if run.id in paused else run
    row = transaction.one(_COMMITTED, run_id=run.id, token=commit.lease.token, step=run.step)
    # The earlier transaction may also have paused the run, if that was asked for, or parked it, if its next attempt got
    # no slot.
    may_wait = commit.asking is not None
    is_there = row is not None and (row[0] in (run.status, Status.PAUSED) or (may_wait and row[0] == Status.WAITING))
    return run._replace(status=Status(row[0])) if is_there else None


def _write(transaction: Transaction, commits: Sequence[tuple[Commit, int]]) -> list[Transition]:
    """Insert the rows of `commits`, whose runs were updated. Each commit is paired with the `seq` of its last line.

    Return the transitions that have side effects.
    """
    steps: list[tuple[NewStep, Changes]] = []
    failed: list[Row] = []
    lines: list[NewLine] = []
    with_side_effects = []
    for commit, last_seq in commits:
        reached = last_seq - _line_count(commit)
        for moved in commit.moves:
            transition = moved.transition
            reached += len(moved.lines)
            finished_at = transaction.moment.at(moved.finished)
            # A run that goes on ahead of this commit logs its next lines at times before this transaction. The lines
            # here get the time at which the attempt ended, so that the run's lines are in the order of their times.
            goes_on = commit.is_ahead and transition.run.status is Status.RUNNING
            at = finished_at if goes_on else None
            lines += rows_of_lines(transaction, commit.lease.run_id, moved.lines, reached, at)
            if (step := transition.step) is not None:
                steps.append((_new_step(transaction, commit.lease, moved, step, finished_at), step.changes))
            if transition.error is not None:
                failed.append(_failed_attempt(transaction, commit.lease, moved, transition.error, finished_at))
            if transition.has_side_effects:
                with_side_effects.append(transition)
    insert_steps(transaction, steps)
    if failed:
        transaction.insert(attempts, failed)
    insert_lines(transaction, lines)
    return with_side_effects


def _line_count(commit: Commit) -> int:
    count = 0
    for moved in commit.moves:
        count += len(moved.lines)
    return count


def _update_all(transaction: Transaction, commits: Sequence[Commit]) -> tuple[list[Any], set[str]]:
    """Update the rows of runs whose lease holds. Return _RETURNED of each, and the ids of the runs to announce."""
    advancing: list[Row] = []
    staying: list[Row] = []
    resting: list[Row] = []
    now = transaction.moment.text()
    for commit in commits:
        if commit.last.run.status is not Status.RUNNING:
            resting.append(_place_of_rest(transaction, commit, now))
        else:
            (staying if commit.last.step is None else advancing).append(_place(commit, now))
    updated = transaction.each(_ADVANCE, advancing)
    if staying:
        updated += transaction.each(_STAY, staying)
    if not resting:
        return updated, set()
    rested = transaction.each(_REST, resting)
    return updated + [row[:-1] for row in rested], {row[0] for row in rested if row[-1] is not None}


def _place(commit: Commit, now: str) -> dict[str, Any]:
    run = commit.last.run
    return {
        "run_id": commit.lease.run_id,
        "token": commit.lease.token,
        "step_before": run.step - len(commit.moves) + (commit.last.step is None),
        "step": run.step,
        "node": run.node,
        "lines": _line_count(commit),
        "now": now,
    }


def _place_of_rest(transaction: Transaction, commit: Commit, now: str) -> dict[str, Any]:
    run, error, wait = commit.last.run, commit.last.error, commit.last.wait
    return _place(commit, now) | {
        "status": run.status.value,
        "attempt": run.attempt,
        "failures": run.failures,
        "crashes": run.crashes,
        "due_at": None if wait is None else due_text(transaction, wait),
        "error": _error_text(error) if error is not None and run.status is Status.FAILED else None,
        "finished_at": now if run.status in OVER else None,
    }


def _new_step(transaction: Transaction, lease: Lease, moved: Moved, step: Step, finished_at: str) -> NewStep:
    started_at, duration_ms = _span(transaction, moved)
    decision = step.decision
    evaluated, is_abridged = evaluated_text(decision)
    return NewStep(
        lease.run_id,
        moved.transition.run.step,
        step.node,
        step.attempt,
        lease.token,
        decision.to,
        decision.reason._value_,
        evaluated,
        int(is_abridged),
        started_at,
        finished_at,
        duration_ms,
    )


def _span(transaction: Transaction, moved: Moved) -> tuple[str, float]:
    """Return the time at which the attempt began, and how many ms it took. A wait that belongs to it counts."""
    since_us, moment = moved.transition.since_us, transaction.moment
    if since_us is not None:
        return text_of(since_us), max(0, moment.now_us - since_us) // 1000
    return moment.at(moved.started), round((moved.finished - moved.started) * 1000, 3)


def _failed_attempt(
    transaction: Transaction, lease: Lease, moved: Moved, error: RunError, finished_at: str
) -> dict[str, Any]:
    return {
        "run_id": lease.run_id,
        "step": error.step,
        "attempt": error.attempt,
        "error": codec.encode({"type": error.type, "message": error.message}),
        "started_at": _span(transaction, moved)[0],
        "finished_at": finished_at,
    }


def _error_text(error: RunError) -> str:
    return codec.encode(error._asdict())
