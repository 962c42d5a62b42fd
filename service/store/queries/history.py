"""Read what was committed: the steps of a run, its state after any of them, and why it is where it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import takewhile
from typing import Any

from sqlalchemy import Select, Table, and_, bindparam, func, select

from service.core import codec
from service.core.errors import NotFound
from service.core.graph import WORKER_LOST, Graph
from service.core.routing.conditions import Reason, complete
from service.core.run import Event, WaitKind
from service.core.state import State
from service.core.syntax import path
from service.core.transitions import Status
from service.store.database.clock import shown
from service.store.database.reader import Reader, Snapshot
from service.store.queries.pages import PAGE_BYTES_MAX, cut
from service.store.queries.runs.one import SHOWN, run_record
from service.store.queries.whole_states import whole_state
from service.store.rows.family import RESTING
from service.store.rows.park_and_wake import children_of
from service.store.rows.records import AttemptRecord, Branch, HeldRecord, Page, StepRecord, WaitRecord, WhyRecord
from service.store.rows.states import OWN_BYTES_BETWEEN, OWN_CHANGES_BETWEEN, VALUE_AT, slot_of, state_of
from service.store.schema.kept import OPEN, is_kept
from service.store.schema.models import attempts, graphs, log_lines, runs, snapshots, waits

_STEP = select(runs.c.graph_id, runs.c.step, runs.c.priority).where(runs.c.id == bindparam("run_id"), is_kept())


def _between(table: Table) -> Select[Any]:
    return (
        select(table)
        .where(
            table.c.run_id == bindparam("run_id"),
            table.c.step > bindparam("after_step"),
            table.c.step <= bindparam("last_step"),
        )
        .order_by(table.c.step)
    )


_SNAPSHOTS_BETWEEN = _between(snapshots)
_ATTEMPTS_BETWEEN = _between(attempts)

_EVALUATED_BYTES = select(snapshots.c.step, func.length(snapshots.c.evaluated)).where(
    snapshots.c.run_id == bindparam("run_id"),
    snapshots.c.step > bindparam("after_step"),
    snapshots.c.step <= bindparam("last_step"),
)

DEFINITION_OF_RUN = (
    select(graphs.c.definition).join(runs, runs.c.graph_id == graphs.c.id).where(runs.c.id == bindparam("run_id"))
)


_WENT_TO = select(snapshots.c.next_node).where(
    snapshots.c.run_id == bindparam("run_id"), snapshots.c.step == bindparam("step")
)

# The node of the run's first step, even if that step is still to be made. If the run was cancelled before its first
# step, its last line names that node.
_BEGINNING = (
    select(func.coalesce(snapshots.c.node, snapshots.c.next_node, runs.c.current_node, log_lines.c.node))
    .select_from(
        runs.outerjoin(snapshots, and_(snapshots.c.run_id == runs.c.id, snapshots.c.step == 1)).outerjoin(
            log_lines, and_(log_lines.c.run_id == runs.c.id, log_lines.c.seq == runs.c.last_seq)
        )
    )
    .where(runs.c.id == bindparam("run_id"))
)

_WHY = select(
    *SHOWN, runs.c.pause_asked, runs.c.lease_owner, runs.c.moved_at, runs.c.attempt, runs.c.missing_tool
).where(runs.c.id == bindparam("run_id"), is_kept())
_ATTEMPTS_OF_STEP = select(attempts).where(
    attempts.c.run_id == bindparam("run_id"), attempts.c.step == bindparam("step")
)
_LAST_ERRORS = (
    select(attempts.c.error)
    .where(attempts.c.run_id == bindparam("run_id"), attempts.c.step == bindparam("step"))
    .order_by(attempts.c.attempt.desc())
    .limit(100)
)
_WAIT = select(waits).where(waits.c.run_id == bindparam("run_id"))

# The last line of a paused run says why the run was paused.
_LAST_PAUSE = select(log_lines.c.message).where(
    log_lines.c.run_id == bindparam("run_id"),
    log_lines.c.seq == bindparam("last_seq"),
    log_lines.c.event == Event.RUN_PAUSED.value,
)

# The engine writes lines with `blocked_by` only during an attempt. A line older than `since` is of an earlier claim.
_BLOCKED_BY = (
    select(log_lines.c.data)
    .where(
        log_lines.c.run_id == bindparam("run_id"),
        log_lines.c.seq > bindparam("after_seq"),
        log_lines.c.step == bindparam("next_step"),
        log_lines.c.ts >= bindparam("since"),
        log_lines.c.data.like('{"blocked_by":%'),
    )
    .order_by(log_lines.c.seq.desc())
    .limit(1)
)
# The engine also writes the lines with `cluster`. All lines of the attempt are searched, because its tool may have
# written any number of lines since.
_ON_CLUSTER = (
    select(log_lines.c.data)
    .where(
        log_lines.c.run_id == bindparam("run_id"),
        log_lines.c.step == bindparam("next_step"),
        log_lines.c.attempt == bindparam("next_attempt"),
        log_lines.c.ts >= bindparam("since"),
        log_lines.c.data.like('{"cluster":%'),
    )
    .order_by(log_lines.c.seq.desc())
    .limit(1)
)
_LINES_SEARCHED = 100
"""How many of a run's last lines are searched for the line that names the tool which blocks the run."""

_COUNT_OF_OPEN = select(func.count()).where(
    children_of(runs, bindparam("run_id"), bindparam("next_step"), bindparam("next_attempt")), runs.c.status.in_(OPEN)
)


class History:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def page(self, run_id: str, after_step: int, limit: int) -> Page:
        """Return committed steps after `after_step`. Raise NotFound if there is no such run."""
        async with self._reader.snapshot() as snapshot:
            run = await snapshot.one(_STEP, run_id=run_id)
            if run is None:
                raise NotFound("run", run_id)
            last = min(run.step, after_step + limit)
            between = {"run_id": run_id, "after_step": after_step, "last_step": last}
            sizes = [
                *await snapshot.all(OWN_BYTES_BETWEEN, **between),
                *await snapshot.all(_EVALUATED_BYTES, **between),
            ]
            between["last_step"] = cut(sizes, after_step + 1, last)
            items = await _steps_between(snapshot, between)
        return Page(items, items[-1].step if items and items[-1].step < run.step else None)

    async def state_at(self, run_id: str, step: int | None) -> tuple[int, State]:
        """Return the number of `step` (None: the last step) and the state after it. Raise NotFound if there is none."""
        async with self._reader.snapshot() as snapshot:
            run = await snapshot.one(_STEP, run_id=run_id)
            return await _state_at(snapshot, run_id, run, step)

    async def branch(self, run_id: str, step: int | None) -> Branch:
        """Return what a fork needs to go on after `step` (None: the last). Raise NotFound if there is no such step."""
        async with self._reader.snapshot() as snapshot:
            run = await snapshot.one(_STEP, run_id=run_id)
            step, state = await _state_at(snapshot, run_id, run, step)
            if step == 0:
                node = await snapshot.one(_BEGINNING, run_id=run_id)
            else:
                node = await snapshot.one(_WENT_TO, run_id=run_id, step=step)
        return Branch(run.graph_id if run else "", step, node[0] if node else None, state, run.priority if run else 0)

    async def held(self, run_id: str, limit: int) -> list[HeldRecord]:
        """Return the runs of the family that wait, are paused or lack a tool, except those that wait for children.

        Runs that need a person or a signal come first.
        """
        async with self._reader.snapshot() as snapshot:
            rows = await snapshot.all(RESTING, family=run_id, count=limit)
        return [HeldRecord(row.id, row.status, row.kind, row.name, shown(row.due_at), row.missing_tool) for row in rows]

    async def losses(self, run_id: str, step: int) -> int:
        """Return how many attempts at `step` in a row have lost their worker, counted back from the last stored one."""
        async with self._reader.snapshot() as snapshot:
            rows = await snapshot.all(_LAST_ERRORS, run_id=run_id, step=step)
        return len(list(takewhile(lambda row: codec.loads(row.error)["type"] == WORKER_LOST, rows)))

    async def why(self, run_id: str) -> WhyRecord:
        """Return everything that explains why the run is where it is. Raise NotFound if there is no such run."""
        async with self._reader.snapshot() as snapshot:
            run = await snapshot.one(_WHY, run_id=run_id)
            if run is None:
                raise NotFound("run", run_id)
            last = run.step - 1
            steps = await _steps_between(snapshot, {"run_id": run_id, "after_step": last, "last_step": run.step})
            tried_step = run.step + (run.status not in (Status.COMPLETED, Status.CANCELLED))
            tried = await snapshot.all(_ATTEMPTS_OF_STEP, run_id=run_id, step=tried_step)
            paused = await snapshot.one(_LAST_PAUSE, run_id=run_id, last_seq=run.last_seq)
            wait = await _wait(snapshot, run)
            is_running = run.status == Status.RUNNING
            blocked = await _blocked_by(snapshot, run) if is_running else None
            on_cluster = await _on_cluster(snapshot, run) if is_running else None
        return WhyRecord(
            run=run_record(run),
            wait=wait,
            pause_asked=bool(run.pause_asked),
            lease_owner=run.lease_owner,
            last_step=steps[-1] if steps else None,
            attempts=failed_attempts(tried),
            paused_because=None if paused is None else paused[0],
            queued_since=shown(run.moved_at) or "",
            missing_tool=run.missing_tool,
            blocked_by=blocked,
            on_cluster=on_cluster,
        )


async def _state_at(snapshot: Snapshot, run_id: str, run: Any, step: int | None) -> tuple[int, State]:
    if run is None:
        raise NotFound("run", run_id)
    step = run.step if step is None else step
    if step is None or step > run.step:
        raise NotFound("step", str(step))
    return step, await whole_state(snapshot, run_id, step)


async def _wait(snapshot: Snapshot, run: Any) -> WaitRecord | None:
    wait = await snapshot.one(_WAIT, run_id=run.id)
    if wait is None:
        return None
    count = None
    if wait.kind == WaitKind.CHILDREN:
        place = {"run_id": run.id, "next_step": run.step + 1, "next_attempt": run.attempt}
        (count,) = await snapshot.one(_COUNT_OF_OPEN, **place) or (None,)
    return WaitRecord(wait.kind, wait.name, shown(wait.since) or "", shown(wait.due_at), count)


async def _on_cluster(snapshot: Snapshot, run: Any) -> str | None:
    place = {"run_id": run.id, "next_step": run.step + 1, "next_attempt": run.attempt, "since": run.moved_at}
    row = await snapshot.one(_ON_CLUSTER, **place)
    return None if row is None else str(row[0])


async def _blocked_by(snapshot: Snapshot, run: Any) -> str | None:
    after_seq = run.last_seq - _LINES_SEARCHED
    place = {"run_id": run.id, "after_seq": after_seq, "next_step": run.step + 1, "since": run.moved_at}
    row = await snapshot.one(_BLOCKED_BY, **place)
    return None if row is None else row[0]


async def _steps_between(snapshot: Snapshot, between: dict[str, Any]) -> tuple[StepRecord, ...]:
    changed: dict[int, list[Any]] = defaultdict(list)
    for row in await snapshot.all(OWN_CHANGES_BETWEEN, **between):
        changed[row.step].append(row)
    tried: dict[int, list[Any]] = defaultdict(list)
    for row in await snapshot.all(_ATTEMPTS_BETWEEN, **between):
        tried[row.step].append(row)
    rows = await snapshot.all(_SNAPSHOTS_BETWEEN, **between)
    graph = None
    if any(row.is_abridged for row in rows):
        graph = Graph.load((await snapshot.all(DEFINITION_OF_RUN, run_id=between["run_id"]))[0][0])
    made: list[StepRecord] = []
    room = PAGE_BYTES_MAX
    for row in rows:
        evaluated = await evaluated_text(snapshot, row, graph, tried[row.step])
        # The size of `evaluated` is known only now, because operands are read back from the state.
        room -= len(evaluated)
        if made and room < 0:
            break
        made.append(step_record(row, evaluated, changed[row.step], tried[row.step]))
    return tuple(made)


async def evaluated_text(snapshot: Snapshot, row: Any, graph: Graph | None, failed: Sequence[Any]) -> str:
    """Return the decision's record, completed by what was too large to be stored with the step."""
    text: str = row.evaluated
    if not row.is_abridged or graph is None:
        return text
    abridged = codec.loads(text)
    keys = {path.segments(place)[0] for record in abridged for place in record.get("omitted", ())}
    if row.reason != Reason.ON_ERROR:
        state = await _values_at(snapshot, row.run_id, row.step, keys)
        return codec.encode(complete(abridged, graph.edges_from(row.node), state))
    last = codec.loads(max(failed, key=lambda row: int(row.attempt)).error)
    edges = graph.edges_on_error(row.node, last["type"])
    into = edges[len(abridged) - 1].into or ""
    record = (await _values_at(snapshot, row.run_id, row.step, {into})).entries[into].text
    state = await _values_at(snapshot, row.run_id, row.step - 1, keys)
    return codec.encode(complete(abridged, edges, state, record))


async def _values_at(snapshot: Snapshot, run_id: str, step: int, keys: Collection[str]) -> State:
    """Return the part of the state after `step` with these keys."""
    slots = [slot_of(key, snapshot.dialect) for key in sorted(keys)]
    found = [await snapshot.one(VALUE_AT, run_id=run_id, key=slot, step=step) for slot in slots]
    return state_of(row for row in found if row is not None and row[1] is not None)


def _attempts(row: Any, failed: Sequence[Any]) -> tuple[AttemptRecord, ...]:
    """Return all attempts of a step. If an error edge caught the last attempt, that attempt is one of `failed`."""
    if row.reason == Reason.PATCH:
        return ()  # The rows belong to the failed step whose number the patch has taken.
    found = failed_attempts(failed)
    if row.reason == Reason.ON_ERROR:
        return found
    return (*found, AttemptRecord(row.attempt, None, shown(row.started_at) or "", shown(row.finished_at) or ""))


def failed_attempts(rows: Sequence[Any]) -> tuple[AttemptRecord, ...]:
    return tuple(
        AttemptRecord(row.attempt, row.error, shown(row.started_at) or "", shown(row.finished_at) or "")
        for row in sorted(rows, key=lambda row: int(row.attempt))
    )


def step_record(row: Any, evaluated: str, changed: Sequence[Any], failed: Sequence[Any]) -> StepRecord:
    started_at, finished_at = shown(row.started_at) or "", shown(row.finished_at) or ""
    return StepRecord(
        step=row.step,
        node=row.node,
        attempt=row.attempt,
        attempts=_attempts(row, failed),
        set={change.key: change.value for change in changed if change.value is not None},
        unset=tuple(change.key for change in changed if change.value is None),
        next_node=row.next_node,
        reason=row.reason,
        evaluated=evaluated,
        started_at=started_at,
        finished_at=finished_at,
        duration_ms=max(0.0, row.duration_ms),
    )
