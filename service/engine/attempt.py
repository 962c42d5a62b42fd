"""One try of a step: where a tool is called. Whatever it does comes back as an outcome.

A tool cannot hurt its server: what it raises is its run's, and what comes after its time is refused.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from service.core.moves import CallTool, Failed, Outcome
from service.core.run import Run
from service.core.tool import Tool, describe_missing
from service.engine import guard
from service.engine.call import Call, Canceller, on_loop
from service.engine.isolation.messages import request
from service.engine.isolation.pool import Isolation
from service.engine.lines import LineBuffer
from service.engine.threads import Threads

logger = logging.getLogger(__name__)


class Carrier(Canceller, Protocol):
    """Who tries: the runner."""

    async def begin(self) -> None:
        """Told at the moment at which the tool is about to be called, and not while it waits for its turn."""


class Attempts:
    """Calls tools: async ones on this loop, plain ones on threads of our own, others in processes."""

    def __init__(
        self,
        tools: Mapping[str, Tool],
        threads: Threads,
        runs_folder: Path,
        state_bytes_max: int,
        isolation: Isolation,
    ) -> None:
        guard.install()
        self._tools = tools
        self._threads = threads
        self._runs_folder = runs_folder
        self.state_bytes_max = state_bytes_max
        self._isolation = isolation

    async def attempt(self, run: Run, move: CallTool, lines: LineBuffer, carrier: Carrier) -> Outcome:
        """Call the tool of `move` on a fresh copy of the state. Raises nothing but the carrier's own cancel."""
        tool = self._tools.get(move.tool)
        if tool is None:
            message = describe_missing(move.tool, self._tools)
            logger.warning("run %s, step %d at %.200r: %s", run.id, move.step, move.node, message)
            return Failed("tool_missing", message)
        if move.isolate:
            asked = request(run, move, self._runs_folder, self.state_bytes_max)
            return await self._isolation.call(asked, move, lines, carrier.begin)
        call = Call(tool, run.id, run.state, move, lines, self._runs_folder, self.state_bytes_max)
        if tool.is_async:
            await carrier.begin()
            return await on_loop(call, move.timeout_s, carrier)
        return await self._on_thread(call, move.timeout_s, carrier)

    async def _on_thread(self, call: Call, timeout_s: float | None, carrier: Carrier) -> Outcome:
        await self._threads.take()
        try:
            await carrier.begin()
            answer = self._threads.call(call.plain, call.refuse)
        except BaseException:
            self._threads.give_back()
            raise
        begun = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                outcome = await answer
        except TimeoutError:  # Our own: a tool's would come as an outcome.
            return call.timed_out()
        if outcome is not None:
            return outcome
        left_s = None if timeout_s is None else timeout_s - (time.monotonic() - begun)
        return await on_loop(call, left_s, carrier)
