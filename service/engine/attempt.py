"""One try of a step: where a tool is called. Whatever it does comes back as an outcome.

A tool cannot hurt its server: any exception of its, SystemExit too, is its run's and ends here.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import inspect
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from service.core import codec
from service.core.errors import StateInvalid
from service.core.moves import CallTool, Failed, Outcome, Succeeded
from service.core.run import Level, Run
from service.core.tool import Tool
from service.engine.lines import LineBuffer, current, reinstall_handler
from service.engine.threads import Threads

ERROR_TEXT_MAX = 4096


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """What a tool is handed as `context`; see core's Context."""

    run_id: str
    step: int
    attempt: int
    node: str
    _runs_folder: Path
    _lines: LineBuffer

    @property
    def idempotency_key(self) -> str:
        return f"{self.run_id}:{self.step}"

    @property
    def folder(self) -> Path:
        folder = self._runs_folder / self.run_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    # Positional, so that `self` and `message` may be names in the data.
    def log(self, message: str, /, **data: Any) -> None:
        self._lines.add(message, data=data)


class Carrier(Protocol):
    """Who tries: the runner."""

    @property
    def has_given_up(self) -> bool:
        """Whether it was cancelled by us, and not by the tool."""

    async def begin(self) -> None:
        """Told at the moment at which the tool is about to be called, and not while it waits for a thread."""


class Attempts:
    """Calls tools: async ones on this loop, plain ones on threads of our own."""

    def __init__(self, tools: Mapping[str, Tool], threads: Threads, runs_folder: Path, state_bytes_max: int) -> None:
        self._tools = tools
        self._threads = threads
        self._runs_folder = runs_folder
        self.state_bytes_max = state_bytes_max

    async def attempt(self, run: Run, move: CallTool, lines: LineBuffer, carrier: Carrier) -> Outcome:
        """Call the tool of `move` on a fresh copy of the state. Raises nothing but the carrier's own cancel."""
        tool = self._tools.get(move.tool)
        if tool is None:
            return Failed("tool_missing", f"no tool {move.tool!r} is registered on this server")
        call = _Call(tool, run, move, lines, self._runs_folder, self.state_bytes_max)
        reinstall_handler()
        token = current.set(lines)
        try:
            if tool.is_async:
                await carrier.begin()
                return await _on_loop(call, lines, carrier)
            within = contextvars.copy_context()
            async with self._threads.slot():
                await carrier.begin()
                return await self._threads.call(lambda: within.run(_on_thread, call, lines))
        finally:
            current.reset(token)


class _Call:
    """The tool's arguments, and what is made of what it leaves."""

    def __init__(
        self, tool: Tool, run: Run, move: CallTool, lines: LineBuffer, runs_folder: Path, bytes_max: int
    ) -> None:
        self._tool = tool
        self._run = run
        self._move = move
        self._lines = lines
        self._runs_folder = runs_folder
        self._bytes_max = bytes_max
        self._state: dict[str, Any] = {}
        self._given: dict[str, Any] = {}

    def invoke(self) -> Any:
        """What the function returns; of an async tool, the coroutine."""
        self._state = self._run.state.to_object()
        self._given = dict(self._state)
        return self._tool.function(**{name: self._argument(name) for name in self._tool.parameters})

    def _argument(self, name: str) -> Any:
        if name == "state":
            return self._state
        move = self._move
        if name == "metadata":
            return copy.deepcopy(move.metadata)
        return AttemptContext(self._run.id, move.step, move.attempt, move.node, self._runs_folder, self._lines)

    def outcome(self, returned: Any) -> Outcome:
        if returned is not None and not isinstance(returned, dict):
            if inspect.iscoroutine(returned):
                returned.close()
            return Failed("tool_error", f"the tool returned a {type(returned).__name__}; it returns a dict or None")
        if returned is not None and returned is not self._state:
            self._state.update(returned)
        try:
            return Succeeded(self._run.state.changes_to(self._state, self._given, self._bytes_max))
        except StateInvalid as error:
            return Failed(error.type, _fit(str(error)))


def _on_thread(call: _Call, lines: LineBuffer) -> Outcome:
    try:
        return call.outcome(call.invoke())
    except BaseException as error:  # SystemExit, KeyboardInterrupt, StopIteration: a tool's failure, no more.
        return _failure(error, lines)


async def _on_loop(call: _Call, lines: LineBuffer, carrier: Carrier) -> Outcome:
    try:
        outcome = call.outcome(await call.invoke())
    except BaseException as error:
        if isinstance(error, GeneratorExit) and not _is_on_loop():
            raise  # The loop is gone, and this coroutine is being closed.
        outcome = _failure(error, lines)
    if carrier.has_given_up:
        # Whatever the tool made of our cancel, its late result is refused.
        raise asyncio.CancelledError
    return Failed("tool_error", "the tool cancelled its own task") if await _was_cancelled() else outcome


async def _was_cancelled() -> bool:
    """Whether the tool has asked for the end of the task that it runs in; that is taken back."""
    task = asyncio.current_task()
    if task is None or not task.cancelling():
        return False
    try:
        await asyncio.sleep(0)  # A cancel that is still to be thrown is thrown here.
    except asyncio.CancelledError as error:
        del error
    while task.cancelling():
        task.uncancel()
    return True


def _is_on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _failure(error: BaseException, lines: LineBuffer) -> Failed:
    try:
        trace = "".join(traceback.format_exception(error)[-20:])
    except BaseException as broken:  # A tool's exception may fail at anything, its own message too.
        trace = f"{type(error).__name__} ({type(broken).__name__} in its message)"
    lines.add("the tool raised", Level.ERROR, {"traceback": codec.printable(trace)[-ERROR_TEXT_MAX:]})
    return Failed("tool_error", _fit(f"{type(error).__name__}: {_message(error)}".removesuffix(": ")))


def _fit(text: str) -> str:
    return codec.printable(text)[:ERROR_TEXT_MAX]


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as broken:
        return f"({type(broken).__name__} in its message)"
