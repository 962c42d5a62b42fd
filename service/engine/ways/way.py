"""The protocol of a way of calling tools, and the attempt that a way is given.

To add a way, implement `Way` in a file of this folder and have `Attempts` choose it.
"""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from service.core.moves import CallTool, Outcome
from service.core.run import Run
from service.core.tool import Tool
from service.engine.call import Call
from service.engine.lines import LineBuffer
from service.engine.timeouts import Canceller
from service.spans import RunSpans


class Carrier(Canceller, Protocol):
    """The runner of the attempt's run, as far as a way needs it."""

    async def begin(self) -> None:
        """Prepare for the call. A way awaits this just before the call, after any wait for a thread or a process."""


class Attempt(NamedTuple):
    """One attempt to call a tool with a fresh copy of the run's state."""

    run: Run
    move: CallTool
    tool: Tool | None
    """None if this server lacks the tool. The process that makes the call may still have it."""
    lines: LineBuffer
    """Takes the lines that the tool writes."""
    carrier: Carrier
    spans: RunSpans | None
    runs_folder: Path
    state_bytes_max: int

    def here(self) -> Call:
        """Return a Call, for a way that makes the call in this process."""
        assert self.tool is not None
        call = Call(
            self.tool, self.run.id, self.run.state, self.move, self.lines, self.runs_folder, self.state_bytes_max
        )
        if self.spans is not None:
            call.enter(self.spans.enter)
        return call


class Way(Protocol):
    """One way of calling tools."""

    def call(self, attempt: Attempt) -> Coroutine[Any, Any, Outcome]:
        """Await `attempt.carrier.begin()`, call the tool, and return its outcome.

        Enforce the timeout of the move. If the caller is cancelled, give the call up and refuse its result. Raise
        nothing but CancelledError in this case, CallInterrupted, and what `begin` raises.
        """
