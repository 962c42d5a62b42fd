"""Pages of steps in either order, of all nodes or of one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Text, and_, bindparam, cast, func, select

from service.core.errors import NotFound
from service.core.graph import Graph
from service.store.database.reader import Reader, Snapshot
from service.store.queries.history import DEFINITION_OF_RUN, evaluated_text, step_record
from service.store.queries.pages import PAGE_BYTES_MAX
from service.store.rows.records import Page, StepRecord
from service.store.rows.states import distinct_keys, whole_key
from service.store.schema.kept import is_kept
from service.store.schema.models import attempts, changes, runs, snapshots

STEPS_READ_AT_ONCE = 100
"""Steps are read in parts, so that a page that ends early has not read all of them."""

_STEP_OF_RUN = select(runs.c.step).where(runs.c.id == bindparam("run_id"), is_kept())


def _of_steps(table: Any) -> Any:
    return and_(table.c.run_id == bindparam("run_id"), table.c.step.in_(bindparam("steps", expanding=True)))


def _changes_of_steps(*columns: Any) -> Any:
    keys = distinct_keys(cast(bindparam("run_id"), Text))
    return select(*columns).select_from(keys.join(changes, changes.c.key == keys.c.key)).where(_of_steps(changes))


_KEY = whole_key(changes.c.long_key, changes.c.key)
SNAPSHOTS_OF_STEPS = select(snapshots).where(_of_steps(snapshots))
ATTEMPTS_OF_STEPS = select(attempts).where(_of_steps(attempts))
CHANGES_OF_STEPS = _changes_of_steps(changes.c.step, _KEY, changes.c.value).order_by(changes.c.position, _KEY)
BYTES_OF_DECISIONS = select(snapshots.c.step, func.length(snapshots.c.evaluated)).where(_of_steps(snapshots))
BYTES_OF_CHANGES = _changes_of_steps(changes.c.step, func.sum(func.coalesce(func.length(changes.c.value), 0))).group_by(
    changes.c.step
)
"""Parameters of these five: run_id, steps. Step 0 must not be among them, because only step 0 has shared values."""


def numbers_of(node: str | None, *, is_newest_first: bool) -> Any:
    """Select the numbers of steps. Parameters: run_id, after_step, before_step, count, and node unless it is None."""
    query = select(snapshots.c.step).where(
        snapshots.c.run_id == bindparam("run_id"),
        snapshots.c.step > bindparam("after_step"),
        snapshots.c.step < bindparam("before_step"),
    )
    if node is not None:
        query = query.where(snapshots.c.node == bindparam("node"))
    return query.order_by(snapshots.c.step.desc() if is_newest_first else snapshots.c.step).limit(bindparam("count"))


async def page_of_steps(
    reader: Reader,
    run_id: str,
    *,
    after_step: int = 0,
    before_step: int | None = None,
    node: str | None = None,
    limit: int,
) -> Page:
    """Return steps between the two bounds: newest first if `before_step` is given, else oldest first.

    The cursor is the next bound in the page's direction. A page ends early if its steps are large. Raise NotFound if
    there is no such run.
    """
    is_newest_first = before_step is not None
    async with reader.snapshot() as snapshot:
        run = await snapshot.one(_STEP_OF_RUN, run_id=run_id)
        if run is None:
            raise NotFound("run", run_id)
        before_step = run.step + 1 if before_step is None else min(before_step, run.step + 1)
        bounds = {"after_step": after_step, "before_step": before_step}
        given = {} if node is None else {"node": node}
        query = numbers_of(node, is_newest_first=is_newest_first)
        found = [row.step for row in await snapshot.all(query, run_id=run_id, **bounds, count=limit + 1, **given)]
        items: list[StepRecord] = []
        room = PAGE_BYTES_MAX
        for first in range(0, min(limit, len(found)), STEPS_READ_AT_ONCE):
            numbers = found[first : min(limit, first + STEPS_READ_AT_ONCE)]
            items, room = await _extended(snapshot, run_id, items, numbers, room)
            if room < 0:
                break
    return Page(tuple(items), items[-1].step if len(found) > len(items) else None)


async def _extended(
    snapshot: Snapshot, run_id: str, items: list[StepRecord], numbers: Sequence[int], room: int
) -> tuple[list[StepRecord], int]:
    """Return `items` with the next steps, as many as fit, and the bytes left: negative if not all fit."""
    decisions = dict(map(tuple, await snapshot.all(BYTES_OF_DECISIONS, run_id=run_id, steps=numbers)))
    sizes = dict(decisions)
    for step, length in await snapshot.all(BYTES_OF_CHANGES, run_id=run_id, steps=numbers):
        sizes[step] += length
    fitting: list[int] = []
    for number in numbers:
        if room < sizes[number] and (items or fitting):
            break
        room -= sizes[number]
        fitting.append(number)
    for record in await _records(snapshot, run_id, fitting):
        # Operands that were read back from the state were not measured.
        room -= len(record.evaluated) - decisions[record.step]
        items = [*items, record]
        if room < 0:
            break
    return items, room if len(fitting) == len(numbers) else -1


async def _records(snapshot: Snapshot, run_id: str, numbers: Sequence[int]) -> list[StepRecord]:
    """Return the steps of these numbers, in the order of the numbers."""
    place = {"run_id": run_id, "steps": numbers}
    changed: dict[int, list[Any]] = defaultdict(list)
    for row in await snapshot.all(CHANGES_OF_STEPS, **place):
        changed[row.step].append(row)
    tried: dict[int, list[Any]] = defaultdict(list)
    for row in await snapshot.all(ATTEMPTS_OF_STEPS, **place):
        tried[row.step].append(row)
    rows = {row.step: row for row in await snapshot.all(SNAPSHOTS_OF_STEPS, **place)}
    graph = None
    if any(row.is_abridged for row in rows.values()):
        graph = Graph.load((await snapshot.all(DEFINITION_OF_RUN, run_id=run_id))[0][0])
    return [
        step_record(
            rows[number],
            await evaluated_text(snapshot, rows[number], graph, tried[number]),
            changed[number],
            tried[number],
        )
        for number in numbers
    ]
