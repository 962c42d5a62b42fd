"""Call one tool: build its arguments, call it, and turn its result or exception into an outcome.

The same code runs on the tools' loop, on a thread and in a process of isolated tools, so that a tool has the same
outcome everywhere. It catches every exception of a tool, including SystemExit.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from service.core import codec, traces
from service.core.errors import StateInvalid
from service.core.functions.typed import BoundState, StateType
from service.core.moves import CallTool, Failed, Outcome, Succeeded
from service.core.run import Level
from service.core.state import State
from service.core.tool import Tool
from service.engine.guard import forks
from service.engine.guard.block_detector import blocked_by
from service.engine.guard.interpreter import Tracing
from service.engine.guard.own_context import OwnContext
from service.engine.lines import Lines, current

logger = logging.getLogger(__name__)


class CallInterrupted(Exception):
    """Raised if something other than the tool ended the call. How far the tool came is unknown; it is called again."""


class Unshared(NamedTuple):
    """Takes the place of the folder of runs on a machine that lacks this folder. `because` is the error's message."""

    because: str


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """The argument `context` of a tool; see Context in core/tool.py."""

    run_id: str
    step: int
    attempt: int
    node: str
    _runs_folder: Path | Unshared
    _lines: Lines

    @property
    def idempotency_key(self) -> str:
        return f"{self.run_id}:{self.step}"

    @property
    def folder(self) -> Path:
        if isinstance(self._runs_folder, Unshared):
            raise FileNotFoundError(self._runs_folder.because)
        folder = self._runs_folder / self.run_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    # Positional-only, so that `self` and `message` can be keys of the data.
    def log(self, message: str, /, **data: Any) -> None:
        self._lines.add(message, data=data)


class Call:
    """One call of a tool. It outlives a timeout or a cancel, so that a late result can be refused."""

    _bound: BoundState | None = None
    """The state as an argument of the type that the tool declares; None if the tool declares no type."""
    _misfit: StateInvalid | None = None
    """The error that was raised because the state does not fit this type; None if it fits."""

    def __init__(
        self,
        tool: Tool,
        run_id: str,
        before: State,
        move: CallTool,
        lines: Lines,
        runs_folder: Path | Unshared,
        state_bytes_max: int,
    ) -> None:
        self._tool = tool
        self.run_id = run_id
        self._before = before
        self.move = move
        self._lines = lines
        self._runs_folder = runs_folder
        self._state_bytes_max = state_bytes_max
        self._state: dict[str, Any] = {}
        self._original_values: dict[str, Any] = {}
        self._awaitable: Awaitable[Any] | None = None
        """The awaitable that a plain function has returned, because it wraps an async one."""
        # An empty context, so that no attempt sees the context variables of another one.
        self._context = contextvars.Context()
        self._context.run(current.set, lines)

    def enter(self, enter: Callable[[], None]) -> None:
        """Call `enter` in the context of the tool, so that `enter` can set context variables for the tool."""
        self._context.run(enter)

    def plain(self) -> Outcome | None:
        """Call a plain function, and return its outcome, or None if it returned an awaitable: use `awaited` then."""
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
            self._awaitable = returned
            return None
        except BaseException as error:  # SystemExit, KeyboardInterrupt and StopIteration are failures of the tool too.
            forks.end_child(error)
            return self.failure(error)

    def awaited(self) -> OwnContext[Outcome | BaseException]:
        """Return an awaitable that calls an async function, or that awaits what a plain function has returned.

        Its result is an outcome or the exception that was raised, which may be a cancel by the engine.
        """
        return OwnContext(self._context, self._awaited(), self)

    async def _awaited(self) -> Outcome | BaseException:
        try:
            returned = await (self._invoke() if self._awaitable is None else self._awaitable)
            forks.end_child()
            return self._outcome(returned)
        except BaseException as error:
            forks.end_child(error)
            if isinstance(error, GeneratorExit) and not _is_on_loop():
                raise  # The loop has ended, and this coroutine is being closed.
            return error

    def failure(self, error: BaseException) -> Failed:
        """Turn an exception into a failure, with its place in the author's code and its traceback."""
        if error is self._misfit:
            return Failed(StateInvalid.type, _fit(str(error)))
        try:
            return Failed("tool_error", traces.describe(error, self._tool.folder), traces.format_traceback(error))
        except BaseException as broken:  # Reading the message of a tool's exception may raise anything.
            return Failed("tool_error", f"{type(error).__name__} ({type(broken).__name__} in its message)")

    def refuse(self) -> None:
        """Log in the server's log, not in the run's, that the tool's result came too late."""
        move = self.move
        message = "a late result is refused: of tool %.200r, in step %d of run %s, attempt %d"
        warn = partial(logger.warning, extra=self._place())
        contextvars.Context().run(warn, message, self._tool.name, move.step, self.run_id, move.attempt)
        if inspect.iscoroutine(self._awaitable):
            self._awaitable.close()  # Otherwise Python warns that it was never awaited.

    @property
    def tool(self) -> str:
        return self.move.tool

    def report_block(self, seconds: float) -> None:
        """Log in the run's log and in the server's log that the tool has blocked its loop for `seconds`."""
        text = f"the async tool {self.tool!r:.200} has blocked all async tools for {seconds:.0f} s: it does not await"
        self._report(text, Level.WARNING, blocked_by(self))

    def report_end_of_block(self, seconds: float) -> None:
        """Log in the run's log and in the server's log that the tool no longer blocks its loop, after `seconds`."""
        text = f"the async tool {self.tool!r:.200} has let the other async tools go on, after {seconds:.0f} s"
        self._report(text, Level.INFO, blocked_by(None))

    def _report(self, text: str, level: Level, data: dict[str, Any]) -> None:
        move = self.move
        self._lines.add(text, level, data)
        place = (move.step, self.run_id, move.attempt)
        logger.warning("%s (step %d of run %s, attempt %d)", text, *place, extra=self._place())

    def _place(self) -> dict[str, Any]:
        """Return the fields that a record of the process's log has for this call."""
        move = self.move
        return {"run": self.run_id, "node": move.node, "step": move.step, "attempt": move.attempt}

    def _invoke(self) -> Any:
        """Call the function and return what it returns; for an async tool, that is a coroutine."""
        self._state = self._before.to_object()
        self._original_values = dict(self._state)
        if self._tool.state_type is not None:
            self._bind(self._tool.state_type)
        return self._tool.function(**{name: self._argument(name) for name in self._tool.parameters})

    def _bind(self, state_type: StateType) -> None:
        try:
            self._bound = state_type.bind(self._state)
        except StateInvalid as error:
            self._misfit = error
            raise

    def _argument(self, name: str) -> Any:
        if name == "state":
            return self._state if self._bound is None else self._bound.value
        move = self.move
        if name == "metadata":
            return copy.deepcopy(move.metadata)
        return AttemptContext(self.run_id, move.step, move.attempt, move.node, self._runs_folder, self._lines)

    def _outcome(self, returned: Any) -> Outcome:
        if self._bound is not None:
            returned = self._bound.changes(returned)
        if returned is not None and not isinstance(returned, dict):
            place = f" ({self._tool.place})" if self._tool.place else ""
            what = f"the tool returned a {type(returned).__name__}; it must return a dict or None{place}"
            return Failed("tool_error", _fit(what))
        if returned is not None and returned is not self._state:
            self._state.update(returned)
        try:
            return Succeeded(self._before.changes_to(self._state, self._original_values, self._state_bytes_max))
        except StateInvalid as error:
            return Failed(error.type, _fit(str(error)))


def _is_on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _fit(text: str) -> str:
    return codec.printable(text)[: traces.TEXT_CHARS_MAX]
