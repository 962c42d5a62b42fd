"""The protocol of a way of calling tools, and the attempt that it is given.

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
    """The runner, as an attempt sees it."""

    async def begin(self) -> None:
        """Called just before the tool is called, after any wait for a thread or a process."""


class Attempt(NamedTuple):
    """One attempt to call a tool with a fresh copy of the run's state."""

    run: Run
    move: CallTool
    tool: Tool | None
    """None if only the process that calls it may have it."""
    lines: LineBuffer
    """Takes the lines that the tool writes."""
    carrier: Carrier
    spans: RunSpans | None
    runs_folder: Path
    state_bytes_max: int

    def here(self) -> Call:
        """Return the call, for a way that makes it in this process."""
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
        nothing but that cancel, CallInterrupted, and what `begin` raises.
        """
