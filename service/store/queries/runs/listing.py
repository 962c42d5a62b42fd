"""Lists of runs: pages by filter, counts by status, and one run with what a list shows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, func, literal_column, select

from service.core.errors import NotFound
from service.core.state import State
from service.core.transitions import Status
from service.store.database.clock import NOW, microseconds, shown
from service.store.database.reader import Reader, Snapshot
from service.store.database.statements import constant
from service.store.queries.pages import Place, cut
from service.store.queries.runs.filter import (
    PARKED,
    RARE_MAX,
    Rare,
    RunFilter,
    can_branch,
    count_of_graphs,
    count_of_prefix,
    graphs_named,
    matching,
    tagged_count,
)
from service.store.queries.runs.one import SHOWN, run_record
from service.store.queries.whole_states import whole_state
from service.store.rows.records import Page, RunRecord
from service.store.schema.kept import is_kept
from service.store.schema.models import graphs, runs, waits

if TYPE_CHECKING:  # A terminal command that lists runs does not import it.
    from service.store.queries.runs.prunable import PrunablePage, PruneRule

COUNTED_MAX = 1000
"""The highest count of the runs of one status, and of the children of one run: counting stops there."""


_child = runs.alias("child")
_children = (
    select(literal_column("1").label("one"))
    .where(_child.c.parent_id == runs.c.id)
    .limit(literal_column(str(COUNTED_MAX)))
    .correlate(runs)
    .subquery("counted")
)

_with_graph_and_wait = runs.join(graphs, graphs.c.id == runs.c.graph_id).outerjoin(
    waits, and_(waits.c.run_id == runs.c.id, runs.c.status.in_([constant(status) for status in PARKED]))
)
_BY_IDS = runs.c.id.in_(bindparam("run_ids", expanding=True)) & is_kept()


def _lengths(*columns: Any) -> Any:
    return sum((func.coalesce(func.length(column), 0) for column in columns), literal_column("0"))


SIZES_OF_LISTED = (
    select(
        runs.c.id, _lengths(runs.c.tags, runs.c.error, runs.c.current_node, graphs.c.name, waits.c.name).label("length")
    )
    .select_from(_with_graph_and_wait)
    .where(_BY_IDS)
)
"""Parameter: run_ids."""


def _listed(dialect: str) -> Any:
    return (
        select(
            *SHOWN,
            runs.c.priority,
            graphs.c.name.label("graph_name"),
            waits.c.kind.label("wait_kind"),
            waits.c.name.label("wait_name"),
            waits.c.due_at.label("wait_due_at"),
            select(func.count()).select_from(_children).scalar_subquery().label("children"),
            literal_column(NOW[dialect]).label("now"),
        )
        .select_from(_with_graph_and_wait)
        .where(_BY_IDS)
    )


LISTED = {dialect: _listed(dialect) for dialect in NOW}
"""What a list shows of runs, in no order. Parameter: run_ids."""


_NAMED = select(graphs.c.id).where(graphs.c.id == bindparam("graph_id"), graphs.c.name == bindparam("name"))


def _count(query: Any) -> Any:
    return select(func.count()).select_from(query.order_by(None).subquery())


@dataclass(frozen=True, slots=True)
class WaitShown:
    """What a parked run waits for."""

    kind: str
    name: str | None
    """The name of the signal or of the limit, if the run waits for one."""
    due_at: str | None


@dataclass(frozen=True, slots=True)
class ListedRun(RunRecord):
    """A run as a list shows it."""

    priority: int = 0
    graph_name: str = ""
    wait: WaitShown | None = None
    duration_ms: int | None = None
    """From its start until its end or now; None if it has not started."""
    children: int = 0
    """The number of children, at most COUNTED_MAX."""


class RunListQueries:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def page(self, which: RunFilter, limit: int, cursor: str | None = None) -> Page:
        """Return ListedRuns, newest first. The cursor is the place of the last run seen.

        A page ends early if its runs are large. Raise Invalid if the cursor is not a place.
        """
        after = None if cursor is None else Place.read(cursor)
        async with self._reader.snapshot() as snapshot:
            found = await _ids(snapshot, which, limit + 1, after=after)
            kept = await _fitting(snapshot, found[:limit])
            rows = await _listed_rows(snapshot, kept)
        items = tuple(rows[run_id] for run_id in kept)
        has_more = len(found) > len(kept)
        return Page(items, Place.of(items[-1].created_at, kept[-1]).cursor if has_more else None)

    async def newest(self, which: RunFilter, limit: int) -> list[ListedRun]:
        """Return the newest runs that `which` selects, however large they are."""
        async with self._reader.snapshot() as snapshot:
            found = await _ids(snapshot, which, limit)
            rows = await _listed_rows(snapshot, found)
        return [rows[run_id] for run_id in found]

    async def prunable(self, rule: PruneRule, cursor: str | None = None) -> PrunablePage:
        """Return a page of the runs that `rule` selects (see `prunable_runs`)."""
        from service.store.queries.runs.prunable import prunable_runs

        return await prunable_runs(self._reader, rule, cursor)

    async def marked(self, limit: int) -> list[str]:
        """Return the ids of runs that are marked as deleted and whose rows are still there."""
        from service.store.queries.runs.prunable import MARKED

        async with self._reader.snapshot() as snapshot:
            return [run_id for (run_id,) in await snapshot.all(MARKED, count=limit)]

    async def oldest(self, which: RunFilter, limit: int) -> list[str]:
        """Return the ids of the oldest runs that `which` selects, oldest first."""
        async with self._reader.snapshot() as snapshot:
            return await _ids(snapshot, which, limit, is_newest_first=False)

    async def counts(self, which: RunFilter) -> dict[str, int]:
        """Return, for each status, the number of runs that `which` selects, at most COUNTED_MAX."""
        counts = dict.fromkeys((status.value for status in Status), 0)
        wanted = which.wanted_statuses
        statuses = tuple(counts) if wanted is None else wanted
        async with self._reader.snapshot() as snapshot:
            graph_ids = await _graph_ids(snapshot, which)
            which, rare = await _rarest(snapshot, replace(which, statuses=statuses), graph_ids)
            for status in statuses:
                one = replace(which, statuses=(status,))
                query = matching(one, snapshot.dialect, COUNTED_MAX, graph_ids=graph_ids, rare=rare)
                row = await snapshot.one(_count(query))
                counts[status] = row[0] if row else 0
        return counts

    async def listed(self, run_id: str) -> tuple[ListedRun, State]:
        """Return a run with its state, from one snapshot. Raise NotFound if there is no such run."""
        async with self._reader.snapshot() as snapshot:
            found = await _listed_rows(snapshot, [run_id])
            if run_id not in found:
                raise NotFound("run", run_id)
            listed = found[run_id]
            state = await whole_state(snapshot, run_id, listed.step)
        return listed, state


async def _ids(snapshot: Snapshot, which: RunFilter, limit: int, **order: Any) -> list[str]:
    graph_ids = await _graph_ids(snapshot, which)
    which, rare = await _rarest(snapshot, which, graph_ids)
    rows = await snapshot.all(matching(which, snapshot.dialect, limit, graph_ids=graph_ids, rare=rare, **order))
    return [row.id for row in rows]


async def _graph_ids(snapshot: Snapshot, which: RunFilter) -> tuple[str, ...] | None:
    """Return the ids of the graphs that the filter names, or None if it names none."""
    if which.graph_name is None:
        return None if which.graph_id is None else (which.graph_id,)
    ids = tuple(row.id for row in await snapshot.all(graphs_named(which.graph_name)))
    if which.graph_id is None:
        return ids
    named = await snapshot.one(_NAMED, graph_id=which.graph_id, name=which.graph_name)
    return () if named is None else (which.graph_id,)


async def _rarest(
    snapshot: Snapshot, which: RunFilter, graph_ids: Sequence[str] | None
) -> tuple[RunFilter, Rare | None]:
    """Return the filter with its rarest tag first, and the part of the filter that should lead, or None."""
    if which.id_prefix is not None and await _is_rare(snapshot, count_of_prefix(which.id_prefix)):
        return which, Rare.PREFIX
    if len(which.tags) + can_branch(graph_ids) + bool(which.statuses) < 2:
        return which, None
    counts = {tag: await _number(snapshot, tagged_count(tag, snapshot.dialect)) for tag in which.tags}
    which = replace(which, tags=tuple(sorted(which.tags, key=lambda tag: counts[tag])))
    if which.tags and counts[which.tags[0]] < RARE_MAX:
        return which, Rare.TAG
    if can_branch(graph_ids) and await _is_rare(snapshot, count_of_graphs(graph_ids or ())):
        return which, Rare.GRAPH
    return which, None


async def _is_rare(snapshot: Snapshot, count: Any) -> bool:
    return await _number(snapshot, count) < RARE_MAX


async def _number(snapshot: Snapshot, query: Any) -> int:
    row = await snapshot.one(query)
    return int(row[0]) if row else 0


async def _fitting(snapshot: Snapshot, run_ids: Sequence[str]) -> list[str]:
    """Return the first of `run_ids`, as many as make a page of a bounded size."""
    if not run_ids:
        return []
    sizes = dict(map(tuple, await snapshot.all(SIZES_OF_LISTED, run_ids=run_ids)))
    last = cut(((number, sizes[run_id]) for number, run_id in enumerate(run_ids)), 0, len(run_ids) - 1)
    return list(run_ids[: last + 1])


async def _listed_rows(snapshot: Snapshot, run_ids: Sequence[str]) -> dict[str, ListedRun]:
    if not run_ids:
        return {}
    return {row.id: _listed_run(row) for row in await snapshot.all(LISTED[snapshot.dialect], run_ids=run_ids)}


def _listed_run(row: Any) -> ListedRun:
    wait = None if row.wait_kind is None else WaitShown(row.wait_kind, row.wait_name, shown(row.wait_due_at))
    duration_ms = None
    if row.started_at is not None:
        end = row.now if row.finished_at is None else row.finished_at
        duration_ms = max(0, (microseconds(end) - microseconds(row.started_at)) // 1000)
    record = run_record(row)
    return ListedRun(
        **{each.name: getattr(record, each.name) for each in fields(record)},
        priority=row.priority,
        graph_name=row.graph_name,
        wait=wait,
        duration_ms=duration_ms,
        children=row.children,
    )
