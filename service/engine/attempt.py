"""Attempt a step: choose the way in which its tool is called, and return the outcome of the call.

An exception of the tool becomes the outcome of the call, and a result that comes too late is refused.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from service.core.graph import Graph, ToolNode
from service.core.moves import CallTool, Outcome
from service.core.run import Run
from service.core.tool import CLUSTER, Tool
from service.engine import guard
from service.engine.figures import Figures
from service.engine.isolation.pool import ProcessPool
from service.engine.lines import LineBuffer
from service.engine.threads import Threads
from service.engine.tool_loop import ToolLoop
from service.engine.ways import Attempt, Carrier, InProcess, OnLoop, OnThread, Way
from service.spans import RunSpans


class Needs(NamedTuple):
    """What an attempt needs. Attempts of one node need the same if all or none of them are isolated."""

    missing: str | None
    """The tool, or CLUSTER, if this server lacks it; None if the server lacks nothing."""
    tool_loop: bool
    """Whether the run must be executed on the tools' loop."""
    commits: bool
    """Whether all earlier steps must be committed before the call: it may not be repeated freely, or it has a limit."""


class Attempts:
    """Calls tools on the tools' loop, on threads, in processes and on a cluster."""

    def __init__(
        self,
        tools: Mapping[str, Tool],
        threads: Threads,
        runs_folder: Path,
        state_bytes_max: int,
        isolation: ProcessPool,
        tool_loop: ToolLoop,
        on_cluster: Way | None = None,
    ) -> None:
        """`on_cluster` is None if no cluster is configured."""
        guard.install()
        self.tools = tools
        self._runs_folder = runs_folder
        self.state_bytes_max = state_bytes_max
        self.tool_loop = tool_loop
        self._on_loop = OnLoop(tool_loop)
        self._on_thread = OnThread(threads, tool_loop)
        self._in_process = InProcess(isolation)
        self._on_cluster = on_cluster
        self.figures = Figures()
        self._has_limits = any(tool.limit is not None for tool in tools.values())

    def needs_of(self, move: CallTool) -> Needs:
        """Return what the attempts of the node of `move` need."""
        tool = self.tools.get(move.tool)
        if tool is None:
            return Needs(move.tool, tool_loop=False, commits=True)
        is_on_cluster = move.resources is not None
        is_elsewhere = move.isolate or is_on_cluster or move.timeout_s is not None
        is_pure = tool.is_pure and move.may_be_pure and not is_on_cluster
        has_limit = move.limit is not None or tool.limit is not None
        return Needs(
            missing=CLUSTER if is_on_cluster and self._on_cluster is None else None,
            tool_loop=tool.is_async and not is_elsewhere,
            commits=has_limit or not is_pure,
        )

    def may_need_slots(self, graph: Graph) -> bool:
        """Return whether a run of `graph` may ever need a slot of a limit."""
        return self._has_limits or graph.names_limits

    def limit_of(self, run: Run) -> str | None:
        """Return the limit on the next attempt of `run`: its node's or else its tool's; None if neither has a limit."""
        node = None if run.node is None else run.graph.nodes[run.node]
        if not isinstance(node, ToolNode):
            return None
        if node.limit is not None:
            return node.limit
        tool = self.tools.get(node.tool)
        return None if tool is None else tool.limit

    def attempt(
        self, run: Run, move: CallTool, lines: LineBuffer, carrier: Carrier, spans: RunSpans | None = None
    ) -> Coroutine[Any, Any, Outcome]:
        """Call the tool of `move` with a fresh copy of the state, and return the outcome.

        If `tools` lacks the tool, another process makes the call. Raise only what `Way.call` raises.
        """
        tool = self.tools.get(move.tool)
        attempt = Attempt(run, move, tool, lines, carrier, spans, self._runs_folder, self.state_bytes_max)
        return self._way(move, tool).call(attempt)

    def _way(self, move: CallTool, tool: Tool | None) -> Way:
        if move.resources is not None and self._on_cluster is not None:
            return self._on_cluster
        if move.isolate or tool is None:
            return self._in_process
        return self._on_loop if tool.is_async else self._on_thread
