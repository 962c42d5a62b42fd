"""Verbs on steps. Where a step is committed: one fenced transaction, once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, func, insert, null, select, update

from service.core import codec
from service.core.conditions import abridge, complete
from service.core.errors import LeaseLost, NotFound
from service.core.run import Line, Run, RunError, Step, Transition
from service.core.state import State
from service.core.transitions import OVER, Status
from service.store.clock import shown
from service.store.logs import insert_lines
from service.store.reader import Reader, Snapshot
from service.store.records import AttemptRecord, Lease, Page, StepRecord
from service.store.sql import Statement
from service.store.states import BYTES_BETWEEN, CHANGES_BETWEEN, STATE_AT, state_of
from service.store.tables import attempts, changes, runs, snapshots
from service.store.writer import Transaction, Writer

PAGE_BYTES_MAX = 4 * 2**20
"""A page of steps ends early when their changes and decisions grow larger."""

OPERAND_BYTES_MAX = 1024
"""A larger operand of a decision is not stored a second time: it is read back from the state."""

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

_EVALUATED_BYTES = select(snapshots.c.step, func.length(snapshots.c.evaluated)).where(
    snapshots.c.run_id == bindparam("run_id"),
    snapshots.c.step > bindparam("after_step"),
    snapshots.c.step <= bindparam("last_step"),
)

_SNAPSHOT = Statement(insert(snapshots).values({column.name: bindparam(column.name) for column in snapshots.c}))
_CHANGE = Statement(insert(changes).values({column.name: bindparam(column.name) for column in changes.c}))
# A run that is condemned makes no attempt: its last one has been noted as lost already.
_ATTEMPT = Statement(
    lambda insert: (
        insert(attempts).values({column.name: bindparam(column.name) for column in attempts.c}).on_conflict_do_nothing()
    )
)


class Steps:
    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

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
            if transition.error is not None:
                _insert_failed_attempt(transaction, lease.run_id, transition.error, started, finished)
            return True

        if not await self._writer.write(verb):
            raise LeaseLost(lease.run_id, lease.token)
        return transition.run

    async def page(self, run_id: str, after_step: int, limit: int) -> Page:
        """Committed steps after `after_step`; NotFound without the run."""
        async with self._reader.snapshot() as snapshot:
            run = await snapshot.one(select(runs.c.step).where(runs.c.id == run_id))
            if run is None:
                raise NotFound("run", run_id)
            last = min(run.step, after_step + limit)
            between = {"run_id": run_id, "after_step": after_step, "last_step": last}
            sizes = [*await snapshot.all(BYTES_BETWEEN, **between), *await snapshot.all(_EVALUATED_BYTES, **between)]
            between["last_step"] = _cut(sizes, after_step + 1, last)
            items = await _steps_between(snapshot, between)
        return Page(items, items[-1].step if items and items[-1].step < run.step else None)

    async def state_at(self, run_id: str, step: int | None) -> tuple[int, State]:
        """The state after `step` (None: the last one), with its number; NotFound past the last."""
        async with self._reader.snapshot() as snapshot:
            run = await snapshot.one(select(runs.c.step).where(runs.c.id == run_id))
            if run is None:
                raise NotFound("run", run_id)
            step = run.step if step is None else step
            if step > run.step:
                raise NotFound("step", str(step))
            return step, state_of(await snapshot.all(STATE_AT, run_id=run_id, step=step))


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
    transaction.execute(
        _SNAPSHOT,
        run_id=lease.run_id,
        step=number,
        node=step.node,
        attempt=step.attempt,
        lease_token=lease.token,
        next_node=step.decision.to,
        reason=step.decision.reason.value,
        evaluated=_evaluated_text(step),
        started_at=moment.at(started),
        finished_at=moment.at(finished),
        duration_ms=round((finished - started) * 1000, 3),
    )
    insert_changes(transaction, lease.run_id, number, step.changes)


def _evaluated_text(step: Step) -> str:
    text = codec.encode(step.decision.evaluated)
    if len(text) <= OPERAND_BYTES_MAX:
        return text
    return codec.encode(abridge(step.decision.evaluated, OPERAND_BYTES_MAX))


def insert_changes(transaction: Transaction, run_id: str, step: int, changed: Any) -> None:
    """A row for each key that `changed` (core's Changes) sets or removes, and for no other."""
    rows = [
        {"run_id": run_id, "key": key, "step": step, "value": entry.text, "position": entry.position}
        for key, entry in changed.set.items()
    ]
    rows += [{"run_id": run_id, "key": key, "step": step, "value": None, "position": 0} for key in changed.unset]
    transaction.execute_many(_CHANGE, rows)


def _insert_failed_attempt(
    transaction: Transaction, run_id: str, error: RunError, started: float, finished: float
) -> None:
    transaction.execute(
        _ATTEMPT,
        run_id=run_id,
        step=error.step,
        attempt=error.attempt,
        error=codec.encode({"type": error.type, "message": error.message}),
        started_at=transaction.moment.at(started),
        finished_at=transaction.moment.at(finished),
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


def _cut(sizes: Iterable[tuple[int, int]], first: int, last: int) -> int:
    """The last step, up to `last`, with which a page is still of a decent size; `first` always fits."""
    total = 0
    for step, length in sorted(map(tuple, sizes)):
        total += length
        if total > PAGE_BYTES_MAX and step > first:
            return step - 1
    return last


async def _steps_between(snapshot: Snapshot, between: dict[str, Any]) -> tuple[StepRecord, ...]:
    def within(table: Any) -> Any:
        return (
            select(table)
            .where(
                table.c.run_id == between["run_id"],
                table.c.step > between["after_step"],
                table.c.step <= between["last_step"],
            )
            .order_by(table.c.step)
        )

    changed: dict[int, list[Any]] = defaultdict(list)
    for row in await snapshot.all(CHANGES_BETWEEN, **between):
        changed[row.step].append(row)
    tried: dict[int, list[Any]] = defaultdict(list)
    for row in await snapshot.all(within(attempts)):
        tried[row.step].append(row)
    rows = await snapshot.all(within(snapshots))
    made: list[StepRecord] = []
    room = PAGE_BYTES_MAX
    for row in rows:
        evaluated = await _evaluated(snapshot, row)
        # Only now it is known how large: operands were read back from the state.
        room -= len(evaluated)
        if made and room < 0:
            break
        made.append(_step_record(row, evaluated, changed[row.step], tried[row.step]))
    return tuple(made)


async def _evaluated(snapshot: Snapshot, row: Any) -> str:
    """The decision's record as it was made, with the operands that were too large to store twice."""
    text: str = row.evaluated
    if '"omitted":' not in text:
        return text
    state = state_of(await snapshot.all(STATE_AT, run_id=row.run_id, step=row.step))
    return codec.encode(complete(codec.loads(text), state))


def _step_record(row: Any, evaluated: str, changed: Sequence[Any], failed: Sequence[Any]) -> StepRecord:
    started_at, finished_at = shown(row.started_at) or "", shown(row.finished_at) or ""
    lost = [
        AttemptRecord(other.attempt, other.error, shown(other.started_at) or "", shown(other.finished_at) or "")
        for other in sorted(failed, key=lambda other: int(other.attempt))
    ]
    return StepRecord(
        step=row.step,
        node=row.node,
        attempt=row.attempt,
        attempts=(*lost, AttemptRecord(row.attempt, None, started_at, finished_at)),
        set={change.key: change.value for change in changed if change.value is not None},
        unset=tuple(change.key for change in changed if change.value is None),
        next_node=row.next_node,
        reason=row.reason,
        evaluated=evaluated,
        started_at=started_at,
        finished_at=finished_at,
        duration_ms=row.duration_ms,
    )
