"""What takes longer than its `timeout_s` is over, and whatever still comes of it is refused."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.core.graph import SECONDS_MAX
from service.core.moves import Failed, Succeeded
from service.core.state import Changes
from service.core.tool import Tool
from tests.support.engine.calls import COMMAND, DEADLINE_S, Calls, calls, until_dead

SHORT_S = 0.05
TIMED_OUT = Failed("timeout", "the tool took longer than 0.05 s")
KEPT = (
    "all 1 tool threads are kept by calls that timed out or were cancelled: no plain tool is called until one of them"
    " ends"
)
LATE = "a late result is refused: of tool 'tool', in step 7 of run r, attempt 2"


class Journal(logging.Handler):
    """The server's own log, for who waits for what it says."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self._heard = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._heard:
            self.messages.append(record.getMessage())
            self._heard.notify_all()

    async def until(self, count: int) -> list[str]:
        """All messages, once there are so many."""
        await asyncio.to_thread(self._until, count)
        return self.messages

    def _until(self, count: int) -> None:
        with self._heard:
            assert self._heard.wait_for(lambda: len(self.messages) >= count, DEADLINE_S)


@pytest.fixture
def journal() -> Iterator[Journal]:
    made = Journal()
    logging.getLogger("service").addHandler(made)
    yield made
    logging.getLogger("service").removeHandler(made)


@contextmanager
def calls_of(folder: Path, *tools: Callable[..., Any], threads: int = 1) -> Iterator[Calls]:
    with calls(folder, tools={tool.__name__: Tool.of(tool) for tool in tools}, threads=threads, command=()) as made:
        yield made


@pytest.mark.parametrize("tool", ["spins", "spins_in_c", "sleeps", "swallows_its_cancel", "starts_others"])
async def test_an_isolated_tool_ends_with_its_process_and_all_that_it_has_started(tmp_path: Path, tool: str) -> None:
    with calls(tmp_path) as made:
        # Long enough to say that it has begun.
        call = made.begin(tool, timeout_s=0.5)
        outcome = await call.outcome()
        assert isinstance(outcome, Failed)
        assert outcome.type == "timeout"
        if tool != "swallows_its_cancel":
            until_dead(*(await call.lines.until("begun")).values())
        assert [line.message for line in call.lines.rest() if line.message != "begun"] == []


async def test_the_time_of_an_isolated_tool_begins_with_it_and_not_with_its_process(tmp_path: Path) -> None:
    slow = (*COMMAND[:-1], f"import time; time.sleep(2.5); {COMMAND[-1]}")

    with calls(tmp_path, command=slow) as made:
        assert (await made.returned("place", timeout_s=2.0))["main"]


async def test_a_plain_tool_runs_on_and_its_late_result_is_refused_and_noted(tmp_path: Path, journal: Journal) -> None:
    leave = threading.Event()

    def tool(context: Any) -> dict[str, Any]:
        context.log("begun")
        leave.wait(DEADLINE_S)
        context.log("late")
        return {"late": True}

    with calls_of(tmp_path, tool) as made:
        call = made.begin("tool", isolate=False, timeout_s=SHORT_S)
        assert await call.outcome() == TIMED_OUT
        assert journal.messages == [KEPT]
        call.lines.close()  # As the runner does.
        leave.set()
        assert await journal.until(2) == [KEPT, LATE]
        assert [line.message for line in call.lines.rest()] == ["begun"]


async def test_the_thread_of_a_tool_that_runs_on_is_not_free(tmp_path: Path) -> None:
    leave = threading.Event()

    def tool() -> None:
        leave.wait(DEADLINE_S)

    def other() -> dict[str, Any]:
        return {"n": 1}

    with calls_of(tmp_path, tool, other) as made:
        assert await made.call("tool", isolate=False, timeout_s=SHORT_S) == TIMED_OUT
        cancelled = made.begin("other", isolate=False)
        waiting = made.begin("other", isolate=False, timeout_s=1.5)
        await asyncio.sleep(1.6)  # Its time does not begin before it does.
        cancelled.task.cancel()
        await asyncio.wait([cancelled.task])
        assert (waiting.carrier.begun, waiting.task.done()) == (0, False)
        leave.set()
        assert isinstance(await waiting.outcome(), Succeeded)
        assert (waiting.carrier.begun, cancelled.carrier.begun) == (1, 0)


async def test_a_plain_tool_whose_attempt_is_cancelled_runs_on_as_well(tmp_path: Path, journal: Journal) -> None:
    leave = threading.Event()

    def tool(context: Any) -> None:
        context.log("begun")
        leave.wait(DEADLINE_S)

    with calls_of(tmp_path, tool) as made:
        call = made.begin("tool", isolate=False)
        await call.lines.until("begun")
        call.carrier.has_given_up = True
        call.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call.outcome()
        leave.set()
        assert await journal.until(2) == [KEPT, LATE]
        assert await made.call("tool", isolate=False, timeout_s=DEADLINE_S) == Succeeded(Changes({}))
        assert len(journal.messages) == 2


async def swallows(context: Any) -> dict[str, Any]:
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        context.log("swallowed")
    return {"late": True}


async def fails_late() -> None:
    try:
        await asyncio.sleep(600)
    finally:
        raise ValueError("late")


async def cancels_itself_late() -> None:
    await swallows_and_cancels()


async def swallows_and_cancels() -> None:
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()


async def blocks_its_loop() -> dict[str, Any]:
    threading.Event().wait(2 * SHORT_S)
    return {"late": True}


async def obeys() -> None:
    await asyncio.sleep(600)


async def within_a_timeout_of_its_own() -> None:
    async with asyncio.timeout(600):
        await asyncio.sleep(600)


@pytest.mark.parametrize(
    ("tool", "is_late"),
    [
        (swallows, True),
        (fails_late, True),
        (cancels_itself_late, True),
        (blocks_its_loop, True),
        (obeys, False),
        (within_a_timeout_of_its_own, False),
    ],
)
async def test_an_async_tool_is_timed_out_whatever_it_makes_of_it(
    tmp_path: Path, journal: Journal, tool: Callable[..., Any], is_late: bool
) -> None:
    tool.__name__ = "tool"

    with calls_of(tmp_path, tool) as made:
        call = made.begin("tool", isolate=False, timeout_s=SHORT_S)
        assert await call.outcome() == TIMED_OUT
        assert journal.messages == ([LATE] if is_late else [])
        assert call.task.cancelling() == 0


@pytest.mark.parametrize("timeout_s", [None, 600])
async def test_a_cancel_of_ours_is_no_timeout_and_what_a_tool_makes_of_it_is_refused(
    tmp_path: Path, journal: Journal, timeout_s: float | None
) -> None:
    async def tool(context: Any) -> dict[str, Any]:
        context.log("begun")
        return await swallows(context)

    with calls_of(tmp_path, tool) as made:
        call = made.begin("tool", isolate=False, timeout_s=timeout_s)
        await call.lines.until("begun")
        call.carrier.has_given_up = True
        call.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call.outcome()
        assert await journal.until(1) == [LATE]


async def test_a_tools_own_timeouts_and_cancels_are_its_failures(tmp_path: Path) -> None:
    async def timed_out() -> None:
        async with asyncio.timeout(0):
            await asyncio.sleep(600)

    async def cancelled() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(600)

    with calls_of(tmp_path, timed_out, cancelled) as made:
        late = await made.call("timed_out", isolate=False, timeout_s=600)
        assert isinstance(late, Failed)
        assert (late.type, late.message.partition(" (")[0]) == ("tool_error", "TimeoutError")
        own = Failed("tool_error", "the tool cancelled its own task")
        assert await made.call("cancelled", isolate=False, timeout_s=600) == own


async def test_a_tool_within_its_time_succeeds(tmp_path: Path) -> None:
    def plain() -> dict[str, Any]:
        return {"n": 1}

    async def awaiting() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"n": 1}

    with calls_of(tmp_path, plain, awaiting) as made:
        for tool in ("plain", "awaiting"):
            assert await made.returned(tool, isolate=False, timeout_s=SECONDS_MAX) == {"n": 1}
