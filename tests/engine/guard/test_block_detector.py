"""An async tool that blocks the engine's loop is named in its run and in the server's log."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path

import pytest

from service.engine.guard import block_detector
from tests.support.engine.harness import running

DEADLINE_S = 30.0
ONCE = {"start_node": "a", "nodes": {"a": "tool"}}


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


@pytest.mark.anyio
async def test_a_tool_that_blocks_the_loop_is_named(tmp_path: Path, warned: Warned) -> None:
    async def tool() -> None:
        assert warned.event.wait(DEADLINE_S)  # It blocks the loop until it is reported.

    async with running(tmp_path, tool) as made:
        await made.start("r", ONCE)
        assert (await made.over("r")).status == "completed"
        (line,) = [line for line in await made.lines("r") if line.event == "log"]
    assert warned.messages[0] == f"{line.message} (step 1 of run r, attempt 1)"
    assert (line.level, line.node) == ("warning", "a")
    assert line.message.startswith("the async tool 'tool' has blocked the event loop for 0 s")


@pytest.mark.anyio
async def test_a_tool_that_awaits_is_not_named_however_long_it_takes(tmp_path: Path, warned: Warned) -> None:
    async def tool() -> None:
        for _ in range(10):
            await asyncio.sleep(0.1)

    async with running(tmp_path, tool) as made:
        await made.start("r", ONCE)
        assert (await made.over("r")).status == "completed"
    assert warned.messages == []
