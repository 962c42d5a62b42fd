"""An async tool that blocks the engine's loop is named in its run and in the server's log."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path

import pytest

from service.engine.engine import Engine, EngineSettings
from service.engine.guard import block_detector
from tests.support.engine.harness import STATE_BYTES_MAX, bench, running

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
    described: list[str] = []

    async def tool() -> None:
        assert warned.event.wait(DEADLINE_S)  # It blocks the loop until it is reported.
        described.append(engine.describe_loop())

    async with bench(tmp_path, [tool]) as made:
        engine = Engine(made.store, made.tools, EngineSettings(made.runs_folder, 100, 1, STATE_BYTES_MAX, 15))
        engine.start()
        try:
            assert engine.describe_loop() == "the engine's loop"
            await made.start("r", ONCE)
            assert (await made.over("r")).status == "completed"
        finally:
            await engine.stop()
        (line,) = [line for line in await made.lines("r") if line.event == "log"]
    assert described == ["the engine's loop, on which the async tool 'tool' of run r runs"]
    assert warned.messages[0] == f"{line.message} (step 1 of run r, attempt 1)"
    assert (line.level, line.node) == ("warning", "a")
    assert line.message.startswith("the async tool 'tool' has blocked the engine's loop for 0 s")


@pytest.mark.anyio
async def test_a_tool_that_awaits_is_not_named_however_long_it_takes(tmp_path: Path, warned: Warned) -> None:
    async def tool() -> None:
        for _ in range(10):
            await asyncio.sleep(0.1)

    async with running(tmp_path, tool) as made:
        await made.start("r", ONCE)
        assert (await made.over("r")).status == "completed"
    assert warned.messages == []
