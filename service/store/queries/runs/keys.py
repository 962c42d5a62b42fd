"""The keys of a run's state: which step last wrote each, and the values that one has had."""

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

_STEP_OF_RUN = select(runs.c.step).where(runs.c.id == bindparam("run_id"), is_kept())


def _keys_written(dialect: str, value: Any) -> Any:
    """Return the query for the last change of each key. `value` is the expression for the value of a change.

    The query finds the keys by hops through the index.
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
            changes.c.shared_digest,
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
"""The last writes of all keys, by dialect, because the function that measures bytes differs. Parameter: run_id.

In the queries whose name begins with OWN, the length of a shared value is NULL, and so is the value.
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
    query = select(changes.c.step, length, changes.c.shared_digest).where(_OF_KEY)
    return query.order_by(changes.c.step.desc()).limit(bindparam("count"))


def _values(value: Any) -> Any:
    query = select(changes.c.step, snapshots.c.node, value, changes.c.shared_digest).select_from(_written)
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
    """Return the keys of the present state, in its order, each with the step that last wrote it. Raise NotFound."""
    async with reader.snapshot() as snapshot:
        await _step_of(snapshot, run_id)
        dialect = snapshot.dialect
        rows = await _all(snapshot, OWN_KEYS_WRITTEN[dialect], KEYS_WRITTEN[dialect], run_id=run_id)
    # A state may have a million keys. On a thread, they do not keep other calls waiting.
    return await asyncio.to_thread(_in_order, rows)


def _in_order(rows: Any) -> list[WrittenKey]:
    in_order = sorted(rows, key=lambda row: (row.position, row.key))
    return [WrittenKey(row.key, row.step, row.node, row.byte_length) for row in in_order]


async def key_values(reader: Reader, run_id: str, key: str, before_step: int | None, limit: int) -> Page:
    """Return the KeyValues of a key, newest first. The cursor is the next `before_step`.

    A page ends early if its values are large. Raise NotFound if there is no such run, or if it never had the key.
    """
    async with reader.snapshot() as snapshot:
        step = await _step_of(snapshot, run_id)
        place: dict[str, Any] = {"run_id": run_id, "key": slot_of(key, snapshot.dialect)}
        if await snapshot.one(_IS_WRITTEN, **place) is None:
            raise NotFound("key", key[:200])
        place["before_step"] = step + 1 if before_step is None else min(before_step, step + 1)
        sizes = await _all(snapshot, OWN_SIZES_OF_VALUES, SIZES_OF_VALUES, **place, count=limit + 1)
        kept = _fitting(sizes[:limit])
        if not kept:
            return Page(())
        rows = await _all(snapshot, OWN_VALUES_OF_KEY, VALUES_OF_KEY, **place, first_step=kept[-1])
    items = tuple(KeyValue(row.step, row.node, row.value) for row in rows)
    return Page(items, kept[-1] if len(sizes) > len(kept) else None)


async def _all(snapshot: Snapshot, own: Any, whole: Any, **parameters: Any) -> Any:
    """Return the rows of `own`, or those of `whole` if a value is shared (see `states.OWN_STATE_AT`)."""
    rows = await snapshot.all(own, **parameters)
    return await snapshot.all(whole, **parameters) if any(row.shared_digest for row in rows) else rows


async def _step_of(snapshot: Snapshot, run_id: str) -> int:
    run = await snapshot.one(_STEP_OF_RUN, run_id=run_id)
    if run is None:
        raise NotFound("run", run_id)
    return int(run.step)


def _fitting(sizes: Any) -> list[int]:
    """Return the first steps whose values make a page of a bounded size."""
    kept: list[int] = []
    room = PAGE_BYTES_MAX
    for step, length, _ in sizes:
        room -= length
        if kept and room < 0:
            break
        kept.append(step)
    return kept
