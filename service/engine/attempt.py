"""Attempt a step: call the tool on the tools' loop, on a thread or in a process, and return its outcome.

An exception of the tool becomes an outcome of its run, and a result that comes too late is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from service.core.graph import ToolNode
from service.core.moves import CallTool, Move, Outcome
from service.core.run import Run
from service.core.tool import Tool
from service.engine import guard
from service.engine.call import Call
from service.engine.figures import Figures
from service.engine.isolation.messages import encode_call
from service.engine.isolation.pool import ProcessPool
from service.engine.lines import LineBuffer
from service.engine.threads import Threads
from service.engine.timeouts import Canceller, await_thread, call_from_here, call_on_loop
from service.engine.tool_loop import ToolLoop
from service.spans import RunSpans


class Carrier(Canceller, Protocol):
    """The runner, as an attempt sees it."""

    async def begin(self) -> None:
        """Called just before the tool is called, after any wait for a thread or a process."""


class Attempts:
    """Calls async tools on the tools' loop, plain tools on threads, and isolated tools in processes."""

    def __init__(
        self,
        tools: Mapping[str, Tool],
        threads: Threads,
        runs_folder: Path,
        state_bytes_max: int,
        isolation: ProcessPool,
        tool_loop: ToolLoop,
    ) -> None:
        guard.install()
        self.tools = tools
        self._threads = threads
        self._runs_folder = runs_folder
        self.state_bytes_max = state_bytes_max
        self._isolation = isolation
        self.tool_loop = tool_loop
        self.figures = Figures()

    def is_pure(self, move: CallTool) -> bool:
        """Return whether the tool of `move` is declared as pure, and its node does not withdraw that."""
        tool = self.tools.get(move.tool)
        return tool is not None and tool.is_pure and move.may_be_pure

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
        return tool is not None and tool.is_async and not move.isolate and move.timeout_s is None

    async def attempt(
        self, run: Run, move: CallTool, lines: LineBuffer, carrier: Carrier, spans: RunSpans | None = None
    ) -> Outcome:
        """Call the tool of `move`, which is in `tools`, with a fresh copy of the state.

        Raise nothing but the cancel of the carrier.
        """
        if move.isolate:
            headers = None if spans is None else spans.headers()
            request = encode_call(run, move, self._runs_folder, self.state_bytes_max, headers)
            return await self._isolation.call(request, move, lines, carrier.begin)
        tool = self.tools[move.tool]
        call = Call(tool, run.id, run.state, move, lines, self._runs_folder, self.state_bytes_max)
        if spans is not None:
            call.enter(spans.enter)
        if tool.is_async:
            await carrier.begin()
            if move.timeout_s is None:
                return await call_on_loop(call, carrier)
            return await call_from_here(call, move.timeout_s, carrier, self.tool_loop)
        return await self._on_thread(call, move.timeout_s, carrier)

    async def _on_thread(self, call: Call, timeout_s: float | None, carrier: Carrier) -> Outcome:
        await self._threads.take()
        try:
            await carrier.begin()
            answer = self._threads.call(call.plain, call.refuse)
        except BaseException:
            self._threads.give_back()
            raise
        return await await_thread(answer, call, timeout_s, carrier, self.tool_loop)
