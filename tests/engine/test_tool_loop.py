"""An async tool that blocks holds up async tools alone: claims, commits, time limits and all other tools go on."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from service.core.tool import Tool
from service.engine import Engine, EngineSettings, attempt, tool_loop
from tests.engine import hostile
from tests.engine.calls import COMMAND, DEADLINE_S
from tests.engine.harness import STATE_BYTES_MAX, Bench, bench, loop_until, running
from tests.engine.test_timeouts import Journal, journal  # noqa: F401  # a fixture


class Block:
    """An async tool that blocks until it is released."""

    def __init__(self) -> None:
        self.entered, self.leave = threading.Event(), threading.Event()

    async def tool(self, state: dict[str, Any]) -> None:
        self.entered.set()
        assert self.leave.wait(DEADLINE_S)
        state["late"] = True

    async def begin(self, made: Bench, **options: Any) -> None:
        made.tools["tool"] = Tool.of(self.tool)
        await made.start("blocked", {"start_node": "a", "nodes": {"a": {"tool": "tool", **options}}})
        await asyncio.to_thread(self.entered.wait, DEADLINE_S)


async def add_awaiting(state: dict[str, Any]) -> None:
    await asyncio.sleep(0)
    state["n"] += 1


def add(state: dict[str, Any]) -> None:
    state["n"] += 1


async def sleep() -> None:
    await asyncio.sleep(600)


def test_while_an_async_tool_blocks_all_others_go_on(tmp_path: Path) -> None:
    block = Block()

    async def script() -> None:
        async with bench(tmp_path, [block.tool, add, add_awaiting, sleep, hostile.place]) as made:
            settings = EngineSettings(made.runs_folder, 100, 4, STATE_BYTES_MAX, 15, COMMAND)
            engine = Engine(made.store, made.tools, settings)
            engine.start()
            try:
                await block.begin(made)
                await made.start("plain", loop_until(20, "add"), n=0)
                await made.start("isolated", {"start_node": "a", "nodes": {"a": {"tool": "place", "isolate": True}}})
                late = {"start_node": "a", "nodes": {"a": {"tool": "sleep", "timeout_s": 0.05}}}
                await made.start("late", late)
                await made.start("awaiting", loop_until(3, "add_awaiting"), n=0)
                assert [(await made.over(run_id)).status for run_id in ("plain", "isolated")] == ["completed"] * 2
                error = json.loads((await made.over("late")).error or "")
                assert error["type"] == "timeout"
                assert (await made.store.runs.get("awaiting")).status == "running"
                assert (await made.store.runs.get("blocked")).status == "running"
                block.leave.set()
                assert (await made.over("awaiting")).status == "completed"
                assert await made.over("blocked")
                assert await made.state("blocked") == {"late": True}
            finally:
                block.leave.set()
                await engine.stop()

    asyncio.run(script())


def test_the_time_limit_of_a_tool_that_blocks_is_kept_and_its_result_refused(
    tmp_path: Path,
    journal: Journal,  # noqa: F811
) -> None:
    block = Block()

    async def script() -> None:
        async with running(tmp_path, block.tool) as made:
            try:
                await block.begin(made, timeout_s=0.05)
                assert json.loads((await made.over("blocked")).error or "")["type"] == "timeout"
                block.leave.set()
                assert "a late result is refused" in (await journal.until(1))[-1]
                assert await made.state("blocked") == {}
            finally:
                block.leave.set()

    asyncio.run(script())


def test_a_run_that_waits_for_a_blocked_loop_can_be_cancelled(tmp_path: Path) -> None:
    block = Block()

    async def script() -> None:
        async with running(tmp_path, block.tool, add_awaiting) as made:
            try:
                await block.begin(made)
                await made.start("r", loop_until(3, "add_awaiting"), n=0)
                for run_id in ("r", "blocked"):
                    await made.store.control.cancel(run_id)
                    assert (await made.over(run_id)).status == "cancelled"
                block.leave.set()
                await made.start("next", loop_until(3, "add_awaiting"), n=0)
                assert (await made.over("next")).status == "completed"
                assert (await made.state("r"), await made.state("blocked")) == ({"n": 0}, {})
            finally:
                block.leave.set()

    asyncio.run(script())


def test_who_blocks_is_named_in_its_run_and_in_the_servers_log(
    tmp_path: Path,
    journal: Journal,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tool_loop, "HELD_UP_S", 0.05)
    block = Block()

    async def script() -> None:
        async with running(tmp_path, block.tool) as made:
            try:
                await block.begin(made)
                (message,) = await journal.until(1)
                assert message.startswith("the async tool 'tool' has held up all async tools for 0 s")
                assert "step 1 of run blocked" in message
                block.leave.set()
                lines = await made.lines("blocked")
                assert [line.level for line in lines if "has held up" in line.message] == ["warning"]
            finally:
                block.leave.set()

    asyncio.run(script())


def test_a_tool_that_awaits_for_long_holds_nobody_up(
    tmp_path: Path,
    journal: Journal,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tool_loop, "HELD_UP_S", 0.05)

    async def tool() -> None:
        await asyncio.sleep(1)

    async def script() -> None:
        async with running(tmp_path, tool) as made:
            await made.start("r", {"start_node": "a", "nodes": {"a": "tool"}})
            assert (await made.over("r")).status == "completed"
            assert journal.messages == []

    asyncio.run(script())


def test_runs_go_over_from_loop_to_loop_as_their_nodes_ask(tmp_path: Path) -> None:
    threads: set[str] = set()

    async def awaiting(state: dict[str, Any]) -> None:
        threads.add(threading.current_thread().name)
        await asyncio.sleep(0)
        state["n"] += 1

    async def limited(state: dict[str, Any]) -> None:
        await awaiting(state)

    document = {
        "start_node": "one",
        "nodes": {
            "one": "awaiting",
            "two": "add",
            "three": {"tool": "limited", "timeout_s": 600},
            "four": {"sleep": 0.001},
            "five": "awaiting",
        },
        "edges": {
            "one": "two",
            "two": "three",
            "three": "four",
            "four": "five",
            "five": {"to": "one", "condition": {"key": "n", "op": "<", "value": 12}},
        },
    }

    async def script() -> None:
        async with running(tmp_path, awaiting, limited, add) as made:
            for number in range(20):
                await made.start(str(number), document, n=0)
            for number in range(20):
                assert (await made.over(str(number))).status == "completed"
                assert await made.state(str(number)) == {"n": 12}
                assert (await made.store.runs.get(str(number))).step == 15
        assert threads == {"rungraph-async-tools"}

    asyncio.run(script())


def test_a_tool_that_swallows_its_cancel_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "LATE_S", 0.05)
    leave = asyncio.Event()

    async def tool() -> None:
        while not leave.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue

    async def script() -> None:
        async with running(tmp_path, tool) as made:
            await made.start("r", {"start_node": "a", "nodes": {"a": {"tool": "tool", "timeout_s": 0.05}}})
            assert json.loads((await made.over("r")).error or "")["type"] == "timeout"
            leave.set()

    asyncio.run(script())
