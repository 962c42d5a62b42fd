"""Insert runs. A start, a fork and a child differ in values and not in statements."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select

from service.core import codec
from service.core.join import SHARED_BYTES_MIN
from service.core.state import Changes, State
from service.core.syntax.trace_context import Trace
from service.core.transitions import Status
from service.store.database import local_events
from service.store.database.statements import ForRows, Statement, constant, insert_of
from service.store.database.transaction import Row, Transaction
from service.store.rows.changes import NewChange, insert_changes, insert_shared_values, rows_of_changes
from service.store.rows.states import slot_of
from service.store.schema.models import graphs, run_tags, runs

_START_NODE = Statement(select(graphs.c.start_node).where(graphs.c.id == bindparam("graph_id")))

_VALUES = {
    "run_id": runs.c.id,
    "graph_id": runs.c.graph_id,
    "node": runs.c.current_node,
    "tags": runs.c.tags,
    "forked_from_id": runs.c.forked_from_id,
    "forked_from_step": runs.c.forked_from_step,
    "parent_id": runs.c.parent_id,
    "parent_step": runs.c.parent_step,
    "parent_attempt": runs.c.parent_attempt,
    "child_number": runs.c.child_number,
    "depth": runs.c.depth,
    "priority": runs.c.priority,
    "traceparent": runs.c.traceparent,
    "tracestate": runs.c.tracestate,
    "now": runs.c.created_at,
}
"""The values that differ between new runs, each with the column that it is stored in."""

_ZERO = ("step", "crashes", "in_flight", "is_resume_unlogged", "last_seq", "lease_token")


def _insert(row: Any, dialect: str) -> Any:
    values = {column.name: getattr(row, name) for name, column in _VALUES.items()}
    values |= {"status": constant(Status.QUEUED), "attempt": constant(1), "due_at": row.now, "moved_at": row.now}
    values |= dict.fromkeys(_ZERO, constant(0))
    # The WHERE is always true. Without one, SQLite would read ON as the condition of a join.
    rows = select(*values.values()).where(constant(1) == constant(1))
    return insert_of(dialect)(runs).from_select([*values], rows).on_conflict_do_nothing().returning(runs.c.id)


_INSERT = {dialect: ForRows(partial(_insert, dialect=dialect), **_VALUES) for dialect in ("sqlite", "postgresql")}
"""The insert of runs by dialect, because ON CONFLICT is not standard SQL."""


class ChildPlace(NamedTuple):
    """Which child a run is: its number among those that one attempt of one step of its parent has started."""

    parent_id: str
    parent_step: int
    parent_attempt: int
    child_number: int


_NO_PLACE = dict.fromkeys(ChildPlace._fields)


class NewRun(NamedTuple):
    """A run to be inserted. It is queued, and due at once."""

    id: str
    graph_id: str
    node: str
    """The node at which it begins."""
    state: State
    tags: Mapping[str, str] = {}
    forked_from: tuple[str, int] | None = None
    """For a fork: the run and the step whose state it begins with."""
    place: ChildPlace | None = None
    depth: int = 0
    priority: int = 0
    inputs: frozenset[str] = frozenset()
    """For a child: the keys whose values all children of its parent's node get. Large ones are stored once."""
    trace: Trace | None = None
    """The trace that it belongs to; for a child, that of its parent."""


def start_nodes(transaction: Transaction, graph_ids: Collection[str]) -> dict[str, str]:
    """Return the start nodes of those of `graph_ids` that exist."""
    found = {graph_id: transaction.one(_START_NODE, graph_id=graph_id) for graph_id in graph_ids}
    return {graph_id: row[0] for graph_id, row in found.items() if row is not None}


def insert_runs(transaction: Transaction, new: Sequence[NewRun]) -> set[str]:
    """Insert `new` with their first states and tags, except those that exist. Return the ids of the inserted runs.

    A run exists already if an earlier COMMIT, whose outcome was unknown, has succeeded.
    """
    now = transaction.moment.text()
    rows = transaction.each(_INSERT[transaction.dialect], [_row(run, now) for run in new])
    inserted = {run_id for (run_id,) in rows}
    changed: list[NewChange] = []
    tags: list[Row] = []
    shared = _Shared()
    for run in new:
        if run.id in inserted:
            changed += rows_of_changes(transaction, run.id, 0, Changes(run.state.entries), shared.digests_of(run))
            slots = {slot_of(f"{key}:{value}", transaction.dialect) for key, value in run.tags.items()}
            tags += [{"tag": slot, "created_at": now, "run_id": run.id} for slot in sorted(slots)]
    insert_changes(transaction, changed)
    insert_shared_values(transaction, shared.values)
    transaction.insert(run_tags, tags)
    if inserted:
        transaction.topics.add(local_events.CLAIMABLE)
    return inserted


class _Shared:
    """The values that new children share, by parent and digest. Each is hashed once."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], str] = {}
        self._digests: dict[str, str] = {}

    def digests_of(self, run: NewRun) -> dict[str, str]:
        """Return the digests of the values that `run` shares, by key."""
        if run.place is None:
            return {}
        found: dict[str, str] = {}
        for key in run.inputs:
            entry = run.state.entries[key]
            if entry.byte_length >= SHARED_BYTES_MIN:
                found[key] = digest = self._digest(entry.text)
                self.values[run.place.parent_id, digest] = entry.text
        return found

    def _digest(self, text: str) -> str:
        if text not in self._digests:
            self._digests[text] = hashlib.sha256(text.encode()).hexdigest()
        return self._digests[text]


def _row(run: NewRun, now: str) -> dict[str, Any]:
    forked_from_id, forked_from_step = run.forked_from or (None, None)
    place: Mapping[str, Any] = _NO_PLACE if run.place is None else run.place._asdict()
    return {
        "run_id": run.id,
        "graph_id": run.graph_id,
        "node": run.node,
        "tags": codec.encode(dict(run.tags)),
        "forked_from_id": forked_from_id,
        "forked_from_step": forked_from_step,
        **place,
        "depth": run.depth,
        "priority": run.priority,
        "traceparent": None if run.trace is None else run.trace.parent,
        "tracestate": None if run.trace is None else run.trace.state,
        "now": now,
    }
