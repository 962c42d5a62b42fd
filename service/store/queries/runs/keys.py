"""The keys of a run's state: which step last wrote each key, and which values a key has had."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import LargeBinary, Text, and_, bindparam, cast, func, select

from service.core.errors import NotFound
from service.store.database.reader import Reader, Snapshot
from service.store.database.statements import constant
from service.store.queries.pages import PAGE_BYTES_MAX
from service.store.rows.records import Page
from service.store.rows.states import VALUE, distinct_keys, is_set, slot_of, whole_key
from service.store.schema.kept import is_kept
from service.store.schema.models import changes, runs, snapshots

_RUN = select(runs.c.step, runs.c.parent_id).where(runs.c.id == bindparam("run_id"), is_kept())


def _keys_written(dialect: str, value: Any) -> Any:
    """Return the query for the last change of each key. `value` is the expression for the value of a change.

    The query finds each key by one search of the index.
    """
    keys = distinct_keys(cast(bindparam("run_id"), Text))
    latest = changes.alias("latest")
    latest_step = (
        select(latest.c.step)
        .where(latest.c.run_id == bindparam("run_id"), latest.c.key == keys.c.key)
        .order_by(latest.c.step.desc())
        .limit(constant(1))
        .scalar_subquery()
    )
    return (
        select(
            whole_key(changes.c.long_key, changes.c.key),
            changes.c.step,
            changes.c.position,
            snapshots.c.node,
            _BYTES[dialect](value).label("byte_length"),
        )
        .select_from(
            keys.join(changes, and_(changes.c.run_id == bindparam("run_id"), changes.c.key == keys.c.key)).outerjoin(
                snapshots, and_(snapshots.c.run_id == changes.c.run_id, snapshots.c.step == changes.c.step)
            )
        )
        .where(changes.c.step == latest_step, is_set(changes.c.value, changes.c.shared_digest))
    )


_BYTES: dict[str, Callable[[Any], Any]] = {
    "sqlite": lambda value: func.length(cast(value, LargeBinary)),
    "postgresql": func.octet_length,
}
KEYS_WRITTEN = {dialect: _keys_written(dialect, VALUE.element) for dialect in _BYTES}
OWN_KEYS_WRITTEN = {dialect: _keys_written(dialect, changes.c.value) for dialect in _BYTES}
"""For each dialect, the query for the last write of every key. The function that measures bytes differs between them.

Parameter: run_id.

The queries whose names begin with OWN read no shared values, which only a child has: somebody may have locked their
table (see `states.OWN_STATE_AT`).
"""

_written = changes.outerjoin(
    snapshots, and_(snapshots.c.run_id == changes.c.run_id, snapshots.c.step == changes.c.step)
)
_OF_KEY = and_(
    changes.c.run_id == bindparam("run_id"),
    changes.c.key == bindparam("key"),
    changes.c.step < bindparam("before_step"),
)


def _sizes(value: Any) -> Any:
    length = func.coalesce(func.length(value), 0).label("length")
    query = select(changes.c.step, length).where(_OF_KEY)
    return query.order_by(changes.c.step.desc()).limit(bindparam("count"))


def _values(value: Any) -> Any:
    query = select(changes.c.step, snapshots.c.node, value).select_from(_written)
    return query.where(_OF_KEY, changes.c.step >= bindparam("first_step")).order_by(changes.c.step.desc())


SIZES_OF_VALUES, OWN_SIZES_OF_VALUES = _sizes(VALUE.element), _sizes(changes.c.value)
"""Parameters: run_id, key (its slot), before_step, count."""

VALUES_OF_KEY, OWN_VALUES_OF_KEY = _values(VALUE), _values(changes.c.value)
"""Parameters: run_id, key (its slot), before_step, first_step."""

_IS_WRITTEN = (
    select(changes.c.step).where(changes.c.run_id == bindparam("run_id"), changes.c.key == bindparam("key")).limit(1)
)


@dataclass(frozen=True, slots=True)
class WrittenKey:
    """A key of the present state, and the step that last wrote it."""

    key: str
    step: int
    """0: the initial state."""
    node: str | None
    """The step's node; None for the initial state and for a patch."""
    byte_length: int
    """The length of the value's JSON text."""


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A value that a key has had."""

    step: int
    node: str | None
    value: str | None
    """JSON text; None: the step removed the key."""


async def written_keys(reader: Reader, run_id: str) -> list[WrittenKey]:
    """Return the keys of the present state, in its order, each with the step that last wrote it.

    Raise NotFound if there is no such run.
    """
    async with reader.snapshot() as snapshot:
        run = await _find(snapshot, run_id)
        queries = OWN_KEYS_WRITTEN if run.parent_id is None else KEYS_WRITTEN
        rows = await snapshot.all(queries[snapshot.dialect], run_id=run_id)
    # A state may have a million keys. Sort them on a thread, so that other calls do not wait.
    return await asyncio.to_thread(_in_order, rows)


def _in_order(rows: Any) -> list[WrittenKey]:
    in_order = sorted(rows, key=lambda row: (row.position, row.key))
    return [WrittenKey(row.key, row.step, row.node, row.byte_length) for row in in_order]


async def key_values(reader: Reader, run_id: str, key: str, before_step: int | None, limit: int) -> Page:
    """Return the KeyValues of a key, newest first. The cursor is the next `before_step`.

    A page ends early if its values are large. Raise NotFound if there is no such run, or if the run never had the key.
    """
    async with reader.snapshot() as snapshot:
        run = await _find(snapshot, run_id)
        is_child = run.parent_id is not None
        place: dict[str, Any] = {"run_id": run_id, "key": slot_of(key, snapshot.dialect)}
        if await snapshot.one(_IS_WRITTEN, **place) is None:
            raise NotFound("key", key[:200])
        place["before_step"] = run.step + 1 if before_step is None else min(before_step, run.step + 1)
        sizes = await snapshot.all(SIZES_OF_VALUES if is_child else OWN_SIZES_OF_VALUES, **place, count=limit + 1)
        kept = _fitting(sizes[:limit])
        if not kept:
            return Page(())
        rows = await snapshot.all(VALUES_OF_KEY if is_child else OWN_VALUES_OF_KEY, **place, first_step=kept[-1])
    items = tuple(KeyValue(row.step, row.node, row.value) for row in rows)
    return Page(items, kept[-1] if len(sizes) > len(kept) else None)


async def _find(snapshot: Snapshot, run_id: str) -> Any:
    run = await snapshot.one(_RUN, run_id=run_id)
    if run is None:
        raise NotFound("run", run_id)
    return run


def _fitting(sizes: Any) -> list[int]:
    """Return the first steps of `sizes`, as many as fit on a page, but at least one."""
    kept: list[int] = []
    room = PAGE_BYTES_MAX
    for step, length in sizes:
        room -= length
        if kept and room < 0:
            break
        kept.append(step)
    return kept
