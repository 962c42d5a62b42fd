"""Attempt a step: choose the way in which its tool is called, and return the outcome of the call.

An exception of the tool becomes an outcome of its run, and a result that comes too late is refused.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from service.core.graph import ToolNode
from service.core.moves import CallTool, Move, Outcome
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

    def lacks(self, move: CallTool) -> str | None:
        """Return the tool of `move`, or CLUSTER, if this server lacks it."""
        if move.tool not in self.tools:
            return move.tool
        return None if move.resources is None or self._on_cluster is not None else CLUSTER

    def is_pure(self, move: CallTool) -> bool:
        """Return whether the tool of `move` is declared as pure, and its node does not withdraw that."""
        tool = self.tools.get(move.tool)
        return tool is not None and tool.is_pure and move.may_be_pure and move.resources is None

    def limit_of(self, run: Run) -> str | None:
        """Return the limit that the next attempt of `run` needs a slot of: its node's, or else its tool's."""
        node = None if run.node is None else run.graph.nodes[run.node]
        if not isinstance(node, ToolNode):
            return None
        if node.limit is not None:
            return node.limit
        tool = self.tools.get(node.tool)
        return None if tool is None else tool.limit

    def needs_tool_loop(self, move: Move) -> bool | None:
        """Return True if `move` needs the tools' loop, False if it needs the engine's, and None if either will do."""
        if not isinstance(move, CallTool):
            return None
        tool = self.tools.get(move.tool)
        is_elsewhere = move.isolate or move.resources is not None or move.timeout_s is not None
        return tool is not None and tool.is_async and not is_elsewhere

    def attempt(
        self, run: Run, move: CallTool, lines: LineBuffer, carrier: Carrier, spans: RunSpans | None = None
    ) -> Coroutine[Any, Any, Outcome]:
        """Call the tool of `move`, which is in `tools` unless it is isolated, with a fresh copy of the state.

        Raise nothing but the cancel of the carrier.
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
