"""Enforce the timeouts of tools that are called in the server's own process.

The timeout of an isolated call is enforced by the thread of its process, see isolation/worker.py.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from service.core.moves import CallTool, Failed, Outcome
from service.engine.call import Call


class Canceller(Protocol):
    """The object that may cancel the task in which an async tool is called."""

    @property
    def has_given_up(self) -> bool:
        """Whether the engine has cancelled the task, and not the tool."""


def timed_out(move: CallTool) -> Failed:
    """Return the failure of a call that has passed its timeout."""
    return Failed("timeout", f"the tool took longer than {move.timeout_s} s")


async def await_thread(
    answer: asyncio.Future[Outcome | None], call: Call, timeout_s: float | None, canceller: Canceller
) -> Outcome:
    """Wait for a tool on a thread, and then for the awaitable that it may have returned.

    If the timeout passes, the thread goes on and its result is refused.
    """
    started = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            outcome = await answer
    except TimeoutError:  # It is ours: a tool's TimeoutError is an outcome.
        return timed_out(call.move)
    if outcome is not None:
        return outcome
    left_s = None if timeout_s is None else timeout_s - (time.monotonic() - started)
    return await call_on_loop(call, left_s, canceller)


async def call_on_loop(call: Call, timeout_s: float | None, canceller: Canceller) -> Outcome:
    """Call an async tool in the current task. Raise nothing but the cancel of the canceller."""
    is_late = False
    task = asyncio.current_task()
    name = task.get_name() if task else ""
    if timeout_s is None:
        returned = await call.awaited()
    else:
        async with asyncio.timeout(timeout_s) as limit:
            returned = await call.awaited()
        # A tool that blocked the loop, or that swallowed the cancel, is late too.
        is_late = limit.expired() or asyncio.get_running_loop().time() >= (limit.when() or 0)
    if task is not None and task.get_name() != name:
        task.set_name(name)  # The task goes on with other steps.
    was_cancelled = await _take_back_cancel()
    if canceller.has_given_up or is_late:
        if not isinstance(returned, asyncio.CancelledError):
            call.refuse()
        if canceller.has_given_up:
            # The tool may have swallowed our cancel.
            raise asyncio.CancelledError
        return timed_out(call.move)
    outcome = call.failure(returned) if isinstance(returned, BaseException) else returned
    return Failed("tool_error", "the tool cancelled its own task") if was_cancelled else outcome


async def _take_back_cancel() -> bool:
    """Return whether the current task was cancelled, and undo that."""
    task = asyncio.current_task()
    if task is None or not task.cancelling():
        return False
    try:
        await asyncio.sleep(0)  # A cancel that is still pending is raised here.
    except asyncio.CancelledError as error:
        del error
    while task.cancelling():
        task.uncancel()
    return True
