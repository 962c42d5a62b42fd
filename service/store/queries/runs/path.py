"""The path of a run: how often it visited each node and took each edge."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, case, func, literal_column, select

from service.core.errors import NotFound
from service.core.graph import Graph
from service.core.routing.conditions import Reason
from service.store.database.reader import Reader, Snapshot
from service.store.database.statements import constant
from service.store.schema.kept import is_kept
from service.store.schema.models import attempts, graphs, log_lines, runs, snapshots

PATH_STEPS_MAX = 100_000
"""The most steps that are counted. If a run has more, its newest steps are counted."""
RUNS_KEPT_MAX, COUNTS_KEPT_MAX = 50, 1000
"""The most runs whose counts are kept, and the most counts of such a run."""


def _json_length(text: Any, dialect: str) -> Any:
    return literal_column(f"json_array_length({text})" if dialect == "sqlite" else f"json_array_length({text}::json)")


def _error_type(dialect: str) -> Any:
    return literal_column("json_extract(a.error, '$.type')" if dialect == "sqlite" else "a.error::json ->> 'type'")


def _steps(dialect: str) -> Any:
    """Count steps by node, edge and, for an error edge, the type of the error."""
    last = attempts.alias("a")
    error_type = (
        select(_error_type(dialect))
        .where(last.c.run_id == snapshots.c.run_id, last.c.step == snapshots.c.step)
        .order_by(last.c.attempt.desc())
        .limit(literal_column("1"))
        .scalar_subquery()
    )
    took = (
        select(
            snapshots.c.node,
            snapshots.c.next_node,
            snapshots.c.reason,
            _json_length("snapshots.evaluated", dialect).label("asked"),
            case((snapshots.c.reason == constant(Reason.ON_ERROR), error_type)).label("error_type"),
            snapshots.c.step,
            snapshots.c.duration_ms,
        )
        .where(
            snapshots.c.run_id == bindparam("run_id"),
            snapshots.c.step > bindparam("after_step"),
            snapshots.c.node.is_not(None),
        )
        .subquery()
    )
    edge = (took.c.node, took.c.next_node, took.c.reason, took.c.asked, took.c.error_type)
    return select(
        *edge,
        func.count().label("count"),
        func.sum(took.c.duration_ms).label("total_ms"),
        func.max(took.c.step).label("last_step"),
    ).group_by(*edge)


STEPS_BY_EDGE = {dialect: _steps(dialect) for dialect in ("sqlite", "postgresql")}
"""The counts by node and edge, by dialect. Parameters: run_id, after_step. A patch has no node and is not counted."""

# The failed attempts before a patch have the number of the patch's step, and belong to the node after the patch. The
# attempts at a step that was not committed belong to the run's current node or, if the run was cancelled, to the node
# that its last line names.
_node_of_attempt = func.coalesce(snapshots.c.node, snapshots.c.next_node, runs.c.current_node, log_lines.c.node)
FAILURES_BY_NODE = (
    select(_node_of_attempt.label("node"), func.count().label("count"))
    .select_from(
        attempts.join(runs, runs.c.id == attempts.c.run_id)
        .outerjoin(snapshots, and_(snapshots.c.run_id == attempts.c.run_id, snapshots.c.step == attempts.c.step))
        .outerjoin(log_lines, and_(log_lines.c.run_id == attempts.c.run_id, log_lines.c.seq == runs.c.last_seq))
    )
    .where(attempts.c.run_id == bindparam("run_id"), attempts.c.step > bindparam("after_step"))
    .group_by(_node_of_attempt)
)
"""Parameters: run_id, after_step."""

_RUN = (
    select(runs.c.step, graphs.c.definition)
    .join(graphs, graphs.c.id == runs.c.graph_id)
    .where(runs.c.id == bindparam("run_id"), is_kept())
)


@dataclass(slots=True)
class NodeVisits:
    """What happened at a node."""

    visits: int = 0
    """Committed steps."""
    failures: int = 0
    """Attempts that failed."""
    total_ms: float = 0.0
    """The time that the committed attempts took."""
    last_step: int | None = None


@dataclass(frozen=True, slots=True)
class RunPath:
    """The path of a run."""

    nodes: dict[str, NodeVisits] = field(default_factory=dict)
    edges: dict[tuple[str, int | None, str | None], int] = field(default_factory=dict)
    """The number of steps by node, index of the edge that was taken (None: no edge was taken), and next node."""
    is_partial: bool = False


class _Edge(NamedTuple):
    """A group of steps. The fields are the first columns of STEPS_BY_EDGE, in their order."""

    node: str
    next_node: str | None
    reason: str
    asked: int
    error_type: str | None


@dataclass(slots=True)
class _Counted:
    """The counts of the steps after `after_step`, up to `step`."""

    after_step: int
    step: int
    edges: dict[_Edge, tuple[int, float, int]] = field(default_factory=dict)
    """The number of steps, the time that they took in milliseconds, and the last step."""


class Paths:
    """Reads paths of runs.

    A committed step does not change, so the counts of a run are kept and only its new steps are counted. A page asks
    again after each step: without this, `benchmarks/watched.py` counts 10,000 steps five times a second. A run of more
    than PATH_STEPS_MAX steps or COUNTS_KEPT_MAX counts is counted anew each time.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._kept: OrderedDict[str, _Counted] = OrderedDict()
        """By the run's id, the last used at the end."""

    async def of(self, run_id: str) -> RunPath:
        """Return the path of a run. Raise NotFound if there is no such run."""
        async with self._reader.snapshot() as snapshot:
            run = await snapshot.one(_RUN, run_id=run_id)
            if run is None:
                raise NotFound("run", run_id)
            counted = await self._count(snapshot, run_id, run.step)
            place = {"run_id": run_id, "after_step": counted.after_step}
            failures = await snapshot.all(FAILURES_BY_NODE, **place)
        graph = Graph.load(run.definition)
        path = RunPath(is_partial=counted.after_step > 0)
        for edge, (count, total_ms, last_step) in counted.edges.items():
            node = path.nodes.setdefault(edge.node, NodeVisits())
            node.visits += count
            node.total_ms += total_ms
            node.last_step = max(node.last_step or 0, last_step)
            taken = (edge.node, _index_of(graph, edge), edge.next_node)
            path.edges[taken] = path.edges.get(taken, 0) + count
        for row in failures:
            if row.node is not None:
                path.nodes.setdefault(row.node, NodeVisits()).failures += row.count
        return path

    async def _count(self, snapshot: Snapshot, run_id: str, step: int) -> _Counted:
        """Return the counts of the newest steps up to `step`, which is the last one in `snapshot`."""
        after_step = max(0, step - PATH_STEPS_MAX)
        kept = self._kept.get(run_id)
        # Another call may have counted steps that are not in this snapshot yet.
        if kept is None or kept.after_step != after_step or kept.step > step:
            kept = _Counted(after_step, step=after_step)
        counted = _Counted(after_step, step, dict(kept.edges))
        if kept.step < step:
            new = {"run_id": run_id, "after_step": kept.step}
            for *edge, count, total_ms, last_step in await snapshot.all(STEPS_BY_EDGE[snapshot.dialect], **new):
                count_before, ms_before, _ = kept.edges.get(found := _Edge(*edge), (0, 0.0, 0))
                counted.edges[found] = (count_before + count, ms_before + float(total_ms), last_step)
        self._keep(run_id, counted)
        return counted

    def _keep(self, run_id: str, counted: _Counted) -> None:
        # Another call may have kept the counts of a later snapshot meanwhile.
        kept = self._kept.pop(run_id, counted)
        if len(counted.edges) <= COUNTS_KEPT_MAX:
            self._kept[run_id] = max(kept, counted, key=lambda each: each.step)
            if len(self._kept) > RUNS_KEPT_MAX:
                self._kept.popitem(last=False)


def _index_of(graph: Graph, row: _Edge) -> int | None:
    """Return which edge was taken, the last evaluated one, as an index into all edges of its node. None: no edge."""
    if row.reason in (Reason.NO_EDGES, Reason.NONE_TRUE):
        return None
    edges = graph.edges.get(row.node, ())
    if row.reason == Reason.ON_ERROR:
        indexes = [index for index, edge in enumerate(edges) if edge.catches(row.error_type or "")]
    else:
        indexes = [index for index, edge in enumerate(edges) if edge.on_error is None]
    return indexes[row.asked - 1] if 0 < row.asked <= len(indexes) else None
