"""Call plain tools on threads of this process."""

from __future__ import annotations

from service.core.moves import Outcome
from service.engine.threads import Threads
from service.engine.timeouts import await_thread
from service.engine.tool_loop import ToolLoop
from service.engine.ways.way import Attempt


class OnThread:
    def __init__(self, threads: Threads, tool_loop: ToolLoop) -> None:
        """If a plain function returns an awaitable, `tool_loop` awaits it."""
        self._threads = threads
        self._tool_loop = tool_loop

    async def call(self, attempt: Attempt) -> Outcome:
        call = attempt.here()
        await self._threads.take()
        try:
            await attempt.carrier.begin()
            answer = self._threads.call(call.plain, call.refuse)
        except BaseException:
            self._threads.give_back()
            raise
        return await await_thread(answer, call, attempt.move.timeout_s, attempt.carrier, self._tool_loop)
