"""Find the tools that unfinished runs need and that a server lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import bindparam, func, select

from service.core.graph import Graph
from service.core.tool import CLUSTER, is_without_cluster
from service.store.database.reader import Reader
from service.store.schema.kept import OPEN, is_kept
from service.store.schema.models import graphs, runs

RUNS_MAX = 10_000
"""The most runs that are examined, so that a server starts as quickly if there are a million."""
GRAPHS_MAX = 200

_positions = (
    select(runs.c.graph_id, runs.c.current_node)
    .where(runs.c.status.in_(OPEN), is_kept())
    .limit(RUNS_MAX)
    .subquery("positions")
)
POSITIONS = (
    select(_positions.c.graph_id, _positions.c.current_node, func.count().label("runs"))
    .group_by(_positions.c.graph_id, _positions.c.current_node)
    .order_by(func.count().desc(), _positions.c.graph_id, _positions.c.current_node)
)
"""The nodes at which unfinished runs are, with the number of runs."""
_DEFINITION = select(graphs.c.definition).where(graphs.c.id == bindparam("graph_id"))


class MissingTools(NamedTuple):
    """The tools that a server lacks, each with the number of runs that may call it. CLUSTER stands for a cluster."""

    runs: dict[str, int]
    is_partial: bool
    """Whether there may be more runs or graphs than were examined."""


class NeededTools:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def missing(self, tools: Collection[str]) -> MissingTools:
        """Return the tools, or CLUSTER, that unfinished runs may still need and that are not in `tools`."""
        async with self._reader.snapshot() as snapshot:
            positions = await snapshot.all(POSITIONS)
            wanted = list(dict.fromkeys(row.graph_id for row in positions))
            loaded: dict[str, Graph] = {}
            for graph_id in wanted[:GRAPHS_MAX]:
                row = await snapshot.one(_DEFINITION, graph_id=graph_id)
                if row is not None and (graph := _read(row.definition)) is not None:
                    loaded[graph_id] = graph
        missing: Counter[str] = Counter()
        for row in positions:
            if row.graph_id in loaded:
                nodes = loaded[row.graph_id].tool_nodes_from(row.current_node)
                needed = {node.tool for node in nodes}.difference(tools)
                if is_without_cluster(tools) and any(node.on is not None for node in nodes):
                    needed.add(CLUSTER)
                missing.update(dict.fromkeys(needed, row.runs))
        is_partial = len(wanted) > GRAPHS_MAX or sum(row.runs for row in positions) >= RUNS_MAX
        return MissingTools(dict(missing), is_partial)


def _read(definition: str) -> Graph | None:
    try:
        return Graph.load(definition)
    except ValueError:  # A newer version wrote it; a claim reports that.
        return None
