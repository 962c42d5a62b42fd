"""Reading what has been committed: the steps of a run, and its state after any of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, func, select

from service.core import codec, path
from service.core.conditions import complete
from service.core.errors import NotFound
from service.core.graph import Graph
from service.core.state import State
from service.store.clock import shown
from service.store.reader import Reader, Snapshot
from service.store.records import AttemptRecord, Page, StepRecord
from service.store.states import BYTES_BETWEEN, CHANGES_BETWEEN, STATE_AT, VALUE_AT, slot_of, state_of
from service.store.tables import attempts, graphs, runs, snapshots

PAGE_BYTES_MAX = 4 * 2**20
"""A page of steps ends early when what it tells grows larger."""

_EVALUATED_BYTES = select(snapshots.c.step, func.length(snapshots.c.evaluated)).where(
    snapshots.c.run_id == bindparam("run_id"),
    snapshots.c.step > bindparam("after_step"),
    snapshots.c.step <= bindparam("last_step"),
)

_DEFINITION_OF_RUN = (
    select(graphs.c.definition).join(runs, runs.c.graph_id == graphs.c.id).where(runs.c.id == bindparam("run_id"))
)


class History:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

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
            return step, state_of(await snapshot.all(STATE_AT[snapshot.dialect], run_id=run_id, step=step))


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
    graph = None
    if any(row.is_abridged for row in rows):
        graph = Graph.load((await snapshot.all(_DEFINITION_OF_RUN, run_id=between["run_id"]))[0][0])
    made: list[StepRecord] = []
    room = PAGE_BYTES_MAX
    for row in rows:
        evaluated = await _evaluated(snapshot, row, graph)
        # Only now it is known how large: operands were read back from the state.
        room -= len(evaluated)
        if made and room < 0:
            break
        made.append(_step_record(row, evaluated, changed[row.step], tried[row.step]))
    return tuple(made)


async def _evaluated(snapshot: Snapshot, row: Any, graph: Graph | None) -> str:
    """The decision's record as it was made, with what was too large to be stored with the step."""
    text: str = row.evaluated
    if not row.is_abridged or graph is None:
        return text
    abridged = codec.loads(text)
    keys = {path.segments(place)[0] for record in abridged for place in record.get("omitted", ())}
    slots = [slot_of(key, snapshot.dialect) for key in sorted(keys)]
    found = [await snapshot.one(VALUE_AT, run_id=row.run_id, key=slot, step=row.step) for slot in slots]
    return codec.encode(complete(abridged, graph.edges_from(row.node), state_of(found)))


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
