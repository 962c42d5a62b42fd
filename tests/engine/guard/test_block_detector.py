"""An async tool that blocks all others is named in the server's log, in its run, and in the runs that wait for it."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from service.engine.engine import Engine, EngineSettings
from service.engine.guard import block_detector
from tests.support.engine.harness import STATE_BYTES_MAX, Bench, bench, running

DEADLINE_S = 30.0
ONCE = {"start_node": "a", "nodes": {"a": "tool"}}
WAITS = {"start_node": "a", "nodes": {"a": "wait"}}
BLOCKER = {"run_id": "r", "tool": "tool"}


class Warned(logging.Handler):
    """Waits for the first warning of the server."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self.event = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
        self.event.set()


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> Warned:
    made = Warned()
    logger = logging.getLogger("service")
    monkeypatch.setattr(logger, "handlers", [*logger.handlers, made])
    monkeypatch.setattr(block_detector, "BLOCKED_S", 0.05)
    return made


async def blocked_by(made: Bench, run_id: str) -> Any:
    """What `why` knows, once there is something."""
    async with asyncio.timeout(DEADLINE_S):
        while (found := (await made.store.history.why(run_id)).blocked_by) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return json.loads(found)["blocked_by"]


@pytest.mark.anyio
@pytest.mark.parametrize("is_task", [False, True], ids=["in the tool", "in a task of its"])
async def test_a_tool_that_blocks_is_named_in_its_run_and_in_those_that_wait(
    tmp_path: Path, warned: Warned, is_task: bool
) -> None:
    leave, later = threading.Event(), asyncio.Event()
    here = asyncio.get_running_loop()

    async def block() -> None:
        assert leave.wait(DEADLINE_S)

    async def tool() -> None:
        await (asyncio.gather(block()) if is_task else block())
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(later.wait(), here))

    async def wait() -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(later.wait(), here))

    async with bench(tmp_path, [tool, wait]) as made:
        engine = Engine(made.store, made.tools, EngineSettings(made.runs_folder, 100, 1, STATE_BYTES_MAX, 15))
        engine.start()
        try:
            await made.start("r", ONCE)
            assert await blocked_by(made, "r") == BLOCKER
            await made.start("behind", WAITS)
            assert await blocked_by(made, "behind") == BLOCKER
            assert engine.describe_block() == "the async tool 'tool' of run r blocks all async tools"
            leave.set()
            async with asyncio.timeout(DEADLINE_S):
                while await blocked_by(made, "behind") or await blocked_by(made, "r"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert engine.describe_block() is None
            later.set()
            lines = [line for line in await made.lines("r") if line.event == "log"]
            behind = [line.message for line in await made.lines("behind") if line.event == "log"]
        finally:
            leave.set()
            later.set()
            await engine.stop()
    first, *_, last = lines
    assert warned.messages[0] == f"{first.message} (step 1 of run r, attempt 1)"
    assert (first.level, first.node, last.level) == ("warning", "a", "info")
    assert first.message.startswith("the async tool 'tool' has blocked all async tools for ")
    assert last.message.startswith("the async tool 'tool' has let the other async tools go on, after ")
    assert behind[0] == "waits for the async tool 'tool' of run r, which blocks all async tools"
    assert len(behind) == 2


@pytest.mark.anyio
async def test_a_tool_that_awaits_is_not_named_however_long_it_takes(tmp_path: Path, warned: Warned) -> None:
    async def tool() -> None:
        for _ in range(10):
            await asyncio.sleep(0.1)

    async with running(tmp_path, tool) as made:
        await made.start("r", ONCE)
        assert (await made.over("r")).status == "completed"
    assert warned.messages == []
