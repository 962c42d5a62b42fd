"""Find the runs that a rule prunes, a page at a time, from the oldest to the newest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, literal_column, not_, select, tuple_

from service.core.transitions import OVER
from service.store.database.clock import NOW, microseconds, text_of
from service.store.database.reader import Reader, Snapshot
from service.store.database.statements import constant
from service.store.queries.pages import Place
from service.store.queries.runs.filter import RunFilter, graphs_named, matching
from service.store.schema.kept import HAS_FORK, HAS_OPEN_CHILD, is_kept
from service.store.schema.models import deletions, graphs, runs

FIRST = Place("1970-01-01T00:00:00.000Z", "-")
"""A place before all runs."""
READ_MAX = 1000
"""The most runs that one page reads, whether the rule selects them or not."""

_parent = runs.alias("parent")
_is_due = and_(
    runs.c.status.in_([constant(status) for status in sorted(OVER)]),
    runs.c.finished_at < bindparam("ended_before"),
    not_(HAS_FORK),
    not_(HAS_OPEN_CHILD),
)
PRUNABLE = (
    select(
        *(runs.c.id, runs.c.created_at, runs.c.status, runs.c.parent_id, runs.c.graph_id, graphs.c.name),
        _is_due.label("is_due"),
        _parent.c.id.label("kept_parent_id"),
        # A run that is not over has no `finished_at`.
        and_(_parent.c.finished_at.is_not(None), _parent.c.finished_at < bindparam("ended_before")).label(
            "has_old_parent"
        ),
    )
    .select_from(
        runs.join(graphs, graphs.c.id == runs.c.graph_id).outerjoin(
            _parent, and_(_parent.c.id == runs.c.parent_id, is_kept(_parent.c.id))
        )
    )
    .where(
        runs.c.created_at < bindparam("ended_before"),
        tuple_(runs.c.created_at, runs.c.id) > tuple_(bindparam("created_at"), bindparam("run_id")),
        is_kept(),
    )
    .order_by(runs.c.created_at, runs.c.id)
    .limit(READ_MAX)
)
"""The oldest runs after a place. Parameters: ended_before, created_at, run_id."""


MARKED = select(deletions.c.run_id).order_by(deletions.c.run_id).limit(bindparam("count"))
"""Runs that are being deleted."""


@dataclass(frozen=True, slots=True)
class PruneRule:
    """Which runs to prune: those that ended long ago and that nothing needs."""

    older_than_s: float
    """The least time since the run's end."""
    statuses: tuple[str, ...] = ()
    """The run has any of these statuses. Empty: any status."""
    graph_name: str | None = None
    keep_last: int = 0
    """How many runs of each graph name stay: the newest ones."""


class Prunable(NamedTuple):
    """A run that a rule selects."""

    run_id: str
    parent_id: str | None
    """The parent, which has to be deleted first. None if there is no parent, or none that is kept."""
    has_old_parent: bool
    """Whether the parent ended long enough ago to be pruned."""


class PrunablePage(NamedTuple):
    items: Sequence[Prunable]
    """Parents before their children."""
    next_cursor: str | None


async def prunable_runs(reader: Reader, rule: PruneRule, cursor: str | None) -> PrunablePage:
    """Return the runs that `rule` selects among the next READ_MAX. Raise Invalid if `cursor` is not a place."""
    place = FIRST if cursor is None else Place.read(cursor)
    async with reader.snapshot() as snapshot:
        now = await snapshot.one(select(literal_column(NOW[snapshot.dialect])))
        ended_before = text_of(int(microseconds(now[0]) - rule.older_than_s * 1e6)) if now else FIRST.created_at
        rows = await snapshot.all(PRUNABLE, ended_before=ended_before, **place._asdict())
        kept: dict[str, set[str]] = {}
        items = [
            Prunable(row.id, row.kept_parent_id, bool(row.has_old_parent))
            for row in rows
            if row.is_due and _is_selected(rule, row) and row.id not in await _kept(snapshot, rule, row, kept)
        ]
    last = rows[-1] if len(rows) == READ_MAX else None
    return PrunablePage(items, None if last is None else Place.of(last.created_at, last.id).cursor)


def _is_selected(rule: PruneRule, row: Any) -> bool:
    is_of_graph = rule.graph_name is None or row.name == rule.graph_name
    return is_of_graph and (not rule.statuses or row.status in rule.statuses)


async def _kept(snapshot: Snapshot, rule: PruneRule, row: Any, known: dict[str, set[str]]) -> set[str]:
    """Return the ids of the newest runs of the graph of `row`, which stay. `known` caches them by the graph's name."""
    if not rule.keep_last:
        return set()
    name = row.name or row.graph_id
    if name not in known:
        ids: tuple[str, ...] = (row.graph_id,)
        if row.name:
            ids = tuple(found.id for found in await snapshot.all(graphs_named(row.name)))
        which = RunFilter(graph_name=row.name or None)
        newest = matching(which, snapshot.dialect, rule.keep_last, graph_ids=ids)
        known[name] = {found.id for found in await snapshot.all(newest)}
    return known[name]
