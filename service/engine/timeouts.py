"""Enforce the timeouts of tools that are called in the server's own process.

The timeout of an isolated call is enforced by the server's thread for that process; see isolation/worker.py.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any, Protocol

from service.core.moves import CallTool, Failed, Outcome
from service.engine.call import Call
from service.engine.tool_loop import ToolLoop, ToolLoopBroken

LATE_S = 0.5
"""How long the engine waits for an async tool to end after cancelling it at its timeout."""


class Canceller(Protocol):
    """The object that may cancel the task in which an async tool is called."""

    @property
    def has_given_up(self) -> bool:
        """Whether the engine has given the call up. If it has not, a cancel came from the tool."""


def timed_out(move: CallTool) -> Failed:
    """Return the failure of a call that has passed its timeout."""
    return Failed("timeout", f"the tool took longer than {move.timeout_s} s")


class _Deadline:
    """A canceller that gives a call up when its timeout has passed, or when `canceller` gives it up."""

    def __init__(self, timeout_s: float | None, canceller: Canceller) -> None:
        self._canceller = canceller
        self._end = None if timeout_s is None else time.monotonic() + timeout_s

    @property
    def has_passed(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end

    @property
    def has_given_up(self) -> bool:
        return self._canceller.has_given_up or self.has_passed


async def await_thread(
    answer: asyncio.Future[Outcome | None],
    call: Call,
    timeout_s: float | None,
    canceller: Canceller,
    tool_loop: ToolLoop,
) -> Outcome:
    """Wait for a tool on a thread, and then for the awaitable that it may have returned.

    If the timeout passes, the thread goes on and its result is refused.
    """
    started = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            outcome = await answer
    except TimeoutError:  # Raised by our timeout: a TimeoutError of the tool would be an outcome.
        return timed_out(call.move)
    if outcome is not None:
        return outcome
    left_s = None if timeout_s is None else timeout_s - (time.monotonic() - started)
    return await call_from_here(call, left_s, canceller, tool_loop)


async def call_from_here(call: Call, timeout_s: float | None, canceller: Canceller, tool_loop: ToolLoop) -> Outcome:
    """Call an async tool on the tools' loop, and wait for it on the running loop.

    So the timeout holds even if a tool blocks the tools' loop. Raise nothing but ToolLoopBroken and, if the current
    task is cancelled, CancelledError.
    """
    deadline = _Deadline(timeout_s, canceller)
    visit = tool_loop.visit(call.run_id, partial(call_on_loop, call, deadline))
    try:
        await asyncio.wait([visit.outcome], timeout=timeout_s)
        if not visit.outcome.done():
            visit.cancel()
            await asyncio.wait([visit.outcome], timeout=LATE_S)
        if visit.outcome.done():
            return visit.outcome.result()
    except ToolLoopBroken:
        if not deadline.has_passed:
            raise
    finally:
        visit.leave()
    return timed_out(call.move)


async def call_on_loop(call: Call, canceller: Canceller) -> Outcome:
    """Call an async tool in the current task. Raise nothing but CancelledError if `canceller` has given the call up."""
    task = asyncio.current_task()
    name = task.get_name() if task else ""
    returned = await call.awaited()
    try:
        if task is not None and task.get_name() != name:
            task.set_name(name)  # The tool has renamed the task, which goes on with other steps.
        was_cancelled = False
        if task is not None and task.cancelling():
            was_cancelled = True
            await _take_back_cancel(task)
        if canceller.has_given_up:  # The tool may have swallowed our cancel.
            if not isinstance(returned, asyncio.CancelledError):
                call.refuse()
            raise asyncio.CancelledError
        outcome = call.failure(returned) if isinstance(returned, BaseException) else returned
        return Failed("tool_error", "the tool cancelled its own task") if was_cancelled else outcome
    finally:
        del returned  # From Python 3.12 on, the traceback of an exception refers to this frame: a cycle with the state.


async def _take_back_cancel(task: asyncio.Task[Any]) -> None:
    """Undo the cancel of `task`, which is the current one."""
    try:
        await asyncio.sleep(0)  # A cancel that is still pending is raised here.
    except asyncio.CancelledError as error:
        del error
    while task.cancelling():
        task.uncancel()
