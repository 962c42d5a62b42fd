"""Leave runs whose tool this server lacks to servers that have it, and claim runs that other servers have left.

A server without a cluster also leaves the runs whose next tool is called on a cluster.

A run that is left stays queued. Its row has the tool in `missing_tool`, and a due time that never comes. So claims of
due runs do not read the row. A server that has the tool finds the run by an index on `missing_tool`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import bindparam, exists, select, update

from service.core.graph import Graph, ToolNode
from service.core.tool import CLUSTER, Tool, describe_missing, is_without_cluster
from service.core.transitions import Status
from service.store.commands.leases.due import CLAIMED, Due, DueRuns
from service.store.database.statements import ForRows, Statement, constant
from service.store.database.transaction import Transaction
from service.store.rows.family import left_of_family
from service.store.rows.park_and_wake import NEVER
from service.store.rows.states import slot_of
from service.store.schema.models import runs

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
"""How often to look for runs that other servers have left."""
TOLD_MAX = 1000
"""The most missing tools that are reported in the log; further ones are not."""

_WAITED_FOR = ForRows(
    lambda row: select(row.tool).where(exists(select(runs.c.id).where(runs.c.missing_tool == row.tool))),
    tool=runs.c.missing_tool,
)
_LEFT = Statement(
    select(*CLAIMED)
    .where(runs.c.missing_tool == bindparam("tool"))
    .order_by(runs.c.created_at, runs.c.id)
    .limit(bindparam("count"))
    .with_for_update(skip_locked=True)
)
_LEFT_OF_FAMILY = left_of_family(CLAIMED)
_LEAVE = ForRows(
    lambda row: (
        update(runs)
        .where(runs.c.id == row.run_id, runs.c.status == constant(Status.QUEUED))
        .values(missing_tool=row.tool, due_at=row.never)
        .returning(runs.c.id)
    ),
    run_id=runs.c.id,
    tool=runs.c.missing_tool,
    never=runs.c.due_at,
)


class LeftRuns:
    """Claims runs that other servers have left, and leaves runs to other servers."""

    def __init__(self) -> None:
        self._next_look_us = 0
        self._has_looked = False
        self._turn = 0
        self._told: set[str] = set()
        self._has_more = False
        """Whether servers have left more runs with tools of this server than the last search has returned."""
        self._has_left = False
        """Whether the last claim has left runs, so that others may be due behind them."""

    @property
    def must_claim_again(self) -> bool:
        """Whether another claim would probably find runs at once."""
        return self._has_more or self._has_left

    def due(self, transaction: Transaction, which: DueRuns, count: int) -> list[Due]:
        """Return up to `count` runs that other servers have left and whose tools this server has.

        While there are many, every second call returns some, so that they do not hold up the runs that are due.
        """
        self._has_left = False
        now_us = transaction.moment.now_us
        must_look = now_us >= self._next_look_us or (self._has_more and not self._has_looked)
        if which.tools is None or not must_look:
            self._has_looked = False
            return []
        self._has_looked = True
        self._next_look_us = now_us + round(LOOK_EVERY_S * 1e6)
        others = () if is_without_cluster(which.tools) else (CLUSTER,)
        slots = {slot_of(tool, transaction.dialect) for tool in (*which.tools, *others)}
        if which.family is not None:
            rows = transaction.all(_LEFT_OF_FAMILY[transaction.dialect], family=which.family)
            found = [due for due in (Due(*row) for row in rows) if due.missing_tool in slots]
            self._has_more = len(found) > count
            return found[:count]
        return self._of_tools(transaction, slots, count)

    def _of_tools(self, transaction: Transaction, slots: Collection[str], count: int) -> list[Due]:
        """Return up to `count` runs that were left, about as many for each tool. Each call begins with another tool."""
        waited_for = sorted(tool for (tool,) in transaction.each(_WAITED_FOR, [{"tool": slot} for slot in slots]))
        self._has_more = False
        if not waited_for:
            return []
        self._turn = (self._turn + 1) % len(waited_for)
        of_each = -(-count // len(waited_for))
        found: list[Due] = []
        for tool in waited_for[self._turn :] + waited_for[: self._turn]:
            room = min(of_each, count - len(found))
            some = [Due(*row) for row in transaction.all(_LEFT, tool=tool, count=room)] if room else []
            self._has_more |= len(some) == room
            found += some
        return found

    def leave(
        self,
        transaction: Transaction,
        due: Sequence[Due],
        graphs: Mapping[str, Graph | None],
        tools: Mapping[str, Tool] | None,
    ) -> list[Due]:
        """Leave to other servers the queued runs of `due` that need a tool or cluster which this server lacks.

        Return the rest. A run that is not queued is claimed all the same, and its runner leaves it, because how the run
        waited or crashed has to be noted first.
        """
        if tools is None:
            return list(due)
        missing: dict[str, str] = {}
        for row in due:
            tool = _missing_of(row, graphs[row.graph_id], tools)
            if row.status == Status.QUEUED and tool is not None:
                missing[row.id] = tool
        if not missing:
            return list(due)
        self._has_left = True
        for tool in set(missing.values()):
            self.tell(tool, tools)
        slots = {tool: slot_of(tool, transaction.dialect) for tool in set(missing.values())}
        left = [{"run_id": run_id, "tool": slots[tool], "never": NEVER} for run_id, tool in missing.items()]
        transaction.each(_LEAVE, left)
        return [row for row in due if row.id not in missing]

    def tell(self, tool: str, tools: Mapping[str, Tool]) -> None:
        """Log once that this server lacks `tool`, or a cluster if `tool` is CLUSTER."""
        if tool not in self._told and len(self._told) < TOLD_MAX:
            self._told.add(tool)
            logger.warning("%s; runs that need it are left to servers that have it", describe_missing(tool, tools))


def _missing_of(due: Due, graph: Graph | None, tools: Mapping[str, Tool]) -> str | None:
    """Return the tool, or CLUSTER, that the run's next node needs and this server lacks. None: it lacks nothing."""
    node = None if graph is None else graph.nodes[due.current_node]
    if not isinstance(node, ToolNode):
        return None
    if node.tool not in tools:
        return node.tool
    return CLUSTER if node.on is not None and is_without_cluster(tools) else None
