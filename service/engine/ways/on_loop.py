"""Call async tools on the tools' loop. The run of a call without a timeout is on this loop already."""

from __future__ import annotations

from service.core.moves import Outcome
from service.engine.timeouts import call_from_here, call_on_loop
from service.engine.tool_loop import ToolLoop
from service.engine.ways.way import Attempt


class OnLoop:
    def __init__(self, tool_loop: ToolLoop) -> None:
        self._tool_loop = tool_loop

    async def call(self, attempt: Attempt) -> Outcome:
        call = attempt.here()
        await attempt.carrier.begin()
        if attempt.move.timeout_s is None:
            return await call_on_loop(call, attempt.carrier)
        return await call_from_here(call, attempt.move.timeout_s, attempt.carrier, self._tool_loop)
