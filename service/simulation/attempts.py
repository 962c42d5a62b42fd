"""Make the attempts of a simulation: call tools in this process, or inject failures."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from service.core import traces
from service.core.graph import ERROR_TYPES
from service.core.moves import CallTool, Failed, Outcome
from service.core.run import Line, Run
from service.core.tool import Tool, describe_missing
from service.core.validation.spelling import closest
from service.engine.call import Call
from service.engine.guard import forks, log_capture
from service.engine.lines import LineBuffer
from service.engine.timeouts import call_on_loop

Failure = str | Exception
"""A type of error, such as `timeout`, or an exception, which is treated as if the tool had raised it."""
Failures = Mapping[Any, Failure | Sequence[Failure]]
"""Failures by the number of a step of the first run, or by the name of a node of any run.

Each failure fails one attempt.
"""


class InjectedFailures:
    """The failures that have not been injected yet."""

    def __init__(self, failures: Failures, nodes: Collection[str]) -> None:
        """Raise ValueError for a type of error or a node that does not exist. `nodes` names the nodes of all graphs."""
        for place in failures:
            if not isinstance(place, int) and place not in nodes:
                raise ValueError(f"there is no node {place!r:.200} to fail{closest(str(place), nodes)}")
        self._left: dict[int | str, list[Failure]] = {
            place: [found] if isinstance(found, str | Exception) else [*found] for place, found in failures.items()
        }
        for each in (failure for found in self._left.values() for failure in found):
            if isinstance(each, str) and each not in ERROR_TYPES:
                raise ValueError(f"there is no type of error {each!r:.100}; there are {', '.join(ERROR_TYPES)}")

    def take(self, run: Run) -> Failed | None:
        """Remove and return the failure for the run's next attempt. Return None if the attempt is not to fail."""
        step = run.step + 1 if run.parent_id is None else None
        for place in (step, run.node):
            left = self._left.get(place) if place is not None else None
            if left:
                return _failed(left.pop(0))
        return None


def _failed(failure: Failure) -> Failed:
    if isinstance(failure, str):
        return Failed(failure, f"an injected {failure}")
    return Failed("tool_error", traces.describe(failure), traces.format_traceback(failure))


class ToolCalls:
    """Calls tools in this process. Timeouts are not enforced, because a call takes no simulated time."""

    has_given_up = False
    """Always False: nobody cancels a simulation's calls."""

    def __init__(self, tools: Mapping[str, Tool], runs_folder: Path, state_bytes_max: int) -> None:
        forks.install()  # Not at import: a child that is forked after the import may call tools itself.
        log_capture.install()
        self._tools = tools
        self._runs_folder = runs_folder
        self._state_bytes_max = state_bytes_max
        self._loop = Loop()

    def close(self) -> None:
        self._loop.close()

    def make(self, run: Run, move: CallTool) -> tuple[Outcome, Sequence[Line]]:
        """Call the tool of `move`, and return the outcome and the lines that the tool has written."""
        tool = self._tools.get(move.tool)
        if tool is None:
            return Failed("tool_missing", describe_missing(move.tool, self._tools)), ()
        lines = LineBuffer(move)
        call = Call(tool, run.id, run.state, move, lines, self._runs_folder, self._state_bytes_max)
        outcome = None if tool.is_async else call.plain()
        if outcome is None:
            outcome = self._loop.run(call_on_loop(call, self))
        lines.close()
        return outcome, lines.rest()


class Loop:
    """The event loop on which a simulation calls async tools. It is made for the first call.

    If the calling thread already runs a loop, as in a notebook, this loop runs on a thread of its own.
    """

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None
        self._thread: ThreadPoolExecutor | None = None

    def run(self, call: Coroutine[Any, Any, Outcome]) -> Outcome:
        if self._runner is None:
            self._runner = asyncio.Runner()
            self._thread = ThreadPoolExecutor(1) if _is_on_loop() else None
        return self._runner.run(call) if self._thread is None else self._thread.submit(self._runner.run, call).result()

    def close(self) -> None:
        if self._runner is None:
            return
        if self._thread is None:
            self._runner.close()
        else:
            self._thread.submit(self._runner.close).result()
            self._thread.shutdown()


def _is_on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
