"""One call of a tool: what it is handed, and what is made of whatever it does.

The same code calls a tool on this server's loop, on a thread of it, or in a process of its own, so the same
bad tool comes to the same outcome everywhere. Any exception of a tool's, SystemExit too, ends here.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import inspect
import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from service.core import codec, traces
from service.core.errors import StateInvalid
from service.core.moves import CallTool, Failed, Outcome, Succeeded
from service.core.state import State
from service.core.tool import Tool
from service.engine.guard import forks
from service.engine.guard.interpreter import Tracing
from service.engine.guard.within import Within
from service.engine.lines import Lines, current

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """What a tool is handed as `context`; see core's Context."""

    run_id: str
    step: int
    attempt: int
    node: str
    _runs_folder: Path
    _lines: Lines

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


class Canceller(Protocol):
    """Who may cancel the task in which an async tool runs."""

    @property
    def has_given_up(self) -> bool:
        """Whether it was cancelled by us, and not by the tool."""


class Call:
    """The tool's arguments, and what is made of what it leaves."""

    def __init__(
        self,
        tool: Tool,
        run_id: str,
        before: State,
        move: CallTool,
        lines: Lines,
        runs_folder: Path,
        state_bytes_max: int,
    ) -> None:
        self._tool = tool
        self._run_id = run_id
        self._before = before
        self._move = move
        self._lines = lines
        self._runs_folder = runs_folder
        self._state_bytes_max = state_bytes_max
        self._state: dict[str, Any] = {}
        self._given: dict[str, Any] = {}
        self._left: Awaitable[Any] | None = None
        """What a plain function has left to be awaited: it is a wrapper around an async one."""
        # Each attempt begins with every context variable at its default: no other one's settings reach it.
        self._context = contextvars.Context()
        self._context.run(current.set, lines)

    def plain(self) -> Outcome | None:
        """Call a plain function; None where what it returned is to be awaited, which `on_loop` does."""
        tracing = Tracing()
        outcome = self._context.run(self._plain)
        tracing.put_back()
        return outcome

    def _plain(self) -> Outcome | None:
        try:
            returned = self._invoke()
            forks.end_child()
            if returned is None or isinstance(returned, dict) or not inspect.isawaitable(returned):
                return self._outcome(returned)
            self._left = returned
            return None
        except BaseException as error:  # SystemExit, KeyboardInterrupt, StopIteration: a tool's failure, no more.
            forks.end_child(error)
            return self.failure(error)

    def awaited(self) -> Within[Outcome | BaseException]:
        """Call an async function, or await what `plain` has left.

        What it raises comes back as it is, since the raised may be our own cancel.
        """
        return Within(self._context, self._awaited())

    async def _awaited(self) -> Outcome | BaseException:
        try:
            returned = await (self._invoke() if self._left is None else self._left)
            forks.end_child()
            return self._outcome(returned)
        except BaseException as error:
            forks.end_child(error)
            if isinstance(error, GeneratorExit) and not _is_on_loop():
                raise  # The loop is gone, and this coroutine is being closed.
            return error

    def failure(self, error: BaseException) -> Failed:
        """The failure that `error` is: its message says where in the author's code, its trace the way there."""
        try:
            return Failed("tool_error", traces.describe(error, self._tool.folder), traces.format_traceback(error))
        except BaseException as broken:  # A tool's exception may fail at anything, its own message too.
            return Failed("tool_error", f"{type(error).__name__} ({type(broken).__name__} in its message)")

    def timed_out(self) -> Failed:
        return timed_out(self._move)

    def refuse(self) -> None:
        """Note in the server's own log, and not in the run's, that the tool's result came too late."""
        move = self._move
        message = "a late result is refused: of tool %.200r, in step %d of run %s, attempt %d"
        contextvars.Context().run(logger.warning, message, self._tool.name, move.step, self._run_id, move.attempt)
        if inspect.iscoroutine(self._left):
            self._left.close()  # Or Python complains that nobody has awaited it.

    def _invoke(self) -> Any:
        """What the function returns; of an async tool, the coroutine."""
        self._state = self._before.to_object()
        self._given = dict(self._state)
        return self._tool.function(**{name: self._argument(name) for name in self._tool.parameters})

    def _argument(self, name: str) -> Any:
        if name == "state":
            return self._state
        move = self._move
        if name == "metadata":
            return copy.deepcopy(move.metadata)
        return AttemptContext(self._run_id, move.step, move.attempt, move.node, self._runs_folder, self._lines)

    def _outcome(self, returned: Any) -> Outcome:
        if returned is not None and not isinstance(returned, dict):
            place = f" ({self._tool.place})" if self._tool.place else ""
            what = f"the tool returned a {type(returned).__name__}; it returns a dict or None{place}"
            return Failed("tool_error", _fit(what))
        if returned is not None and returned is not self._state:
            self._state.update(returned)
        try:
            return Succeeded(self._before.changes_to(self._state, self._given, self._state_bytes_max))
        except StateInvalid as error:
            return Failed(error.type, _fit(str(error)))


def timed_out(move: CallTool) -> Failed:
    return Failed("timeout", f"the tool took longer than {move.timeout_s} s")


async def on_loop(call: Call, timeout_s: float | None, canceller: Canceller) -> Outcome:
    """Call an async tool in this task. Raises nothing but the canceller's own cancel."""
    is_late = False
    task = asyncio.current_task()
    name = task.get_name() if task else ""
    if timeout_s is None:
        came = await call.awaited()
    else:
        async with asyncio.timeout(timeout_s) as limit:
            came = await call.awaited()
        # A tool that held up the loop, or that swallowed the cancel, is late all the same.
        is_late = limit.expired() or asyncio.get_running_loop().time() >= (limit.when() or 0)
    if task is not None and task.get_name() != name:
        task.set_name(name)  # The task goes on with other steps.
    has_cancelled = await _was_cancelled()
    if canceller.has_given_up or is_late:
        if not isinstance(came, asyncio.CancelledError):
            call.refuse()
        if canceller.has_given_up:
            # Whatever the tool made of our cancel.
            raise asyncio.CancelledError
        return call.timed_out()
    outcome = call.failure(came) if isinstance(came, BaseException) else came
    return Failed("tool_error", "the tool cancelled its own task") if has_cancelled else outcome


async def _was_cancelled() -> bool:
    """Whether somebody has asked for the end of the task that the tool ran in; that is taken back."""
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


def _fit(text: str) -> str:
    return codec.printable(text)[: traces.TEXT_CHARS_MAX]
