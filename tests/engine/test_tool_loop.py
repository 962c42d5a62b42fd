"""An async tool that blocks or breaks its loop holds up async tools alone; runs and calls of all other kinds go on."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from service.core.tool import Tool
from service.engine import timeouts
from service.engine.engine import Engine, EngineSettings
from tests.support.engine import hostile
from tests.support.engine.calls import COMMAND, DEADLINE_S
from tests.support.engine.harness import STATE_BYTES_MAX, Bench, bench, loop_until, pure, running


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
        await made.start("blocked", once("tool", **options))
        assert await asyncio.to_thread(self.entered.wait, DEADLINE_S)


@asynccontextmanager
async def blocked(folder: Path, *tools: Any, **options: Any) -> AsyncIterator[tuple[Bench, Block]]:
    """An engine in which an async tool blocks."""
    block = Block()
    async with running(folder, *tools) as made:
        try:
            await block.begin(made, **options)
            yield made, block
        finally:
            block.leave.set()


def once(tool: str, **options: Any) -> dict[str, Any]:
    return {"start_node": "a", "nodes": {"a": {"tool": tool, **options}}}


async def error_of(made: Bench, run_id: str) -> str:
    return str(json.loads((await made.over(run_id)).error or "{}")["type"])


async def until(made: Bench, run_id: str, status: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while (await made.store.runs.get(run_id)).status != status:  # noqa: ASYNC110  # no event tells of each status
            await asyncio.sleep(0)


async def add_awaiting(state: dict[str, Any]) -> None:
    await asyncio.sleep(0)
    state["n"] += 1


def add(state: dict[str, Any]) -> None:
    state["n"] += 1


def add_pure(state: dict[str, Any]) -> None:
    state["n"] += 1


async def sleep() -> None:
    await asyncio.sleep(600)


@pytest.mark.anyio
async def test_while_an_async_tool_blocks_all_others_go_on(tmp_path: Path) -> None:
    block = Block()
    async with bench(tmp_path, [block.tool, add, pure(add_pure), add_awaiting, sleep, hostile.place]) as made:
        engine = Engine(made.store, made.tools, EngineSettings(made.runs_folder, 100, 4, STATE_BYTES_MAX, 15, COMMAND))
        engine.start()
        try:
            await block.begin(made)
            child = await made.start("child", loop_until(2), n=0)
            await made.start("pure", loop_until(50, "add_pure"), n=0)
            await made.start("isolated", once("place", isolate=True))
            await made.start("waiting", {"start_node": "a", "nodes": {"a": {"sleep": 0.01}}})
            parent = {"start_node": "a", "nodes": {"a": {"graph": child.id, "into": "c", "input": ["n"]}}}
            await made.start("parent", parent, n=0)
            await made.start("late", once("sleep", timeout_s=0.05))
            await made.start("awaiting", loop_until(3, "add_awaiting"), n=0)
            await made.start("signal", {"start_node": "a", "nodes": {"a": {"signal": "go"}}})
            await made.store.signals.send("signal", "go", "1")
            ended = ("child", "pure", "isolated", "waiting", "parent", "signal")
            assert [(await made.over(run_id)).status for run_id in ended] == ["completed"] * len(ended)
            assert await error_of(made, "late") == "timeout"
            assert [(await made.store.runs.get(run_id)).status for run_id in ("awaiting", "blocked")] == ["running"] * 2
            block.leave.set()
            assert [(await made.over(run_id)).status for run_id in ("awaiting", "blocked")] == ["completed"] * 2
            assert await made.state("blocked") == {"late": True}
        finally:
            block.leave.set()
            await engine.stop()


@pytest.mark.anyio
async def test_a_tool_that_blocks_is_over_at_its_timeout_and_its_result_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with blocked(tmp_path, add_awaiting, timeout_s=0.05) as (made, block):
        await made.start("behind", once("add_awaiting", timeout_s=0.05), n=0)
        assert [await error_of(made, run_id) for run_id in ("blocked", "behind")] == ["timeout"] * 2
        block.leave.set()
        await made.start("next", loop_until(3, "add_awaiting"), n=0)
        assert (await made.over("next")).status == "completed"
        assert [await made.state(run_id) for run_id in ("blocked", "behind")] == [{}, {"n": 0}]
    assert [record.message for record in caplog.records if "a late result is refused" in record.message] == [
        "a late result is refused: of tool 'tool', in step 1 of run blocked, attempt 1"
    ]


@pytest.mark.anyio
async def test_runs_behind_a_blocked_loop_can_be_cancelled_and_paused(tmp_path: Path) -> None:
    async with blocked(tmp_path, add_awaiting) as (made, block):
        await made.start("behind", loop_until(3, "add_awaiting"), n=0)
        await made.start("paused", loop_until(3, "add_awaiting"), n=0)
        await until(made, "paused", "running")
        await made.store.control.pause("paused")
        for run_id in ("behind", "blocked"):
            await made.store.control.cancel(run_id)
            assert (await made.over(run_id)).status == "cancelled"
        block.leave.set()
        await made.start("next", loop_until(3, "add_awaiting"), n=0)
        assert (await made.over("next")).status == "completed"
        await until(made, "paused", "paused")
        assert [await made.state(run_id) for run_id in ("behind", "blocked")] == [{"n": 0}, {}]


@pytest.mark.anyio
async def test_a_run_goes_from_loop_to_loop_as_its_nodes_need(tmp_path: Path) -> None:
    threads: set[str] = set()

    async def awaiting(state: dict[str, Any]) -> None:
        threads.add(threading.current_thread().name)
        await asyncio.sleep(0)
        state["n"] += 1

    async def limited(state: dict[str, Any]) -> None:
        await awaiting(state)

    async def ahead(state: dict[str, Any]) -> None:
        state["n"] += 0

    nodes: dict[str, Any] = {
        "one": "awaiting",
        "two": "add_pure",
        "three": {"tool": "limited", "timeout_s": 600},
        "four": "ahead",
        "five": {"sleep": 0.001},
        "six": "awaiting",
    }
    edges: dict[str, Any] = dict(zip(nodes, list(nodes)[1:], strict=False))
    edges["six"] = {"to": "one", "condition": {"key": "n", "op": "<", "value": 12}}
    async with running(tmp_path, awaiting, limited, pure(add_pure), pure(ahead)) as made:
        for number in range(10):
            await made.start(str(number), {"start_node": "one", "nodes": nodes, "edges": edges}, n=0)
        for number in range(10):
            assert (await made.over(str(number))).status == "completed"
            assert (await made.state(str(number)), (await made.store.runs.get(str(number))).step) == ({"n": 12}, 18)
    assert threads == {"rungraph-async-tools"}


@pytest.mark.anyio
async def test_a_tool_that_ignores_its_cancel_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "LATE_S", 0.05)
    leave = threading.Event()

    async def tool() -> None:
        while not leave.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue

    async with running(tmp_path, tool) as made:
        try:
            await made.start("r", once("tool", timeout_s=0.05))
            assert await error_of(made, "r") == "timeout"
        finally:
            leave.set()


async def stop_loop() -> None:
    asyncio.get_running_loop().stop()


async def exit_in_a_task() -> None:
    async def leave() -> None:
        raise SystemExit(3)

    asyncio.get_running_loop().create_task(leave())


async def cancel_all() -> None:
    for task in asyncio.all_tasks():
        if task is not asyncio.current_task():
            task.cancel()


async def break_selector() -> None:
    def select(_timeout: float | None) -> None:
        raise OSError("the descriptor is closed")

    loop: Any = asyncio.get_running_loop()
    loop._selector.select = select
    await asyncio.sleep(0)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "tool", [stop_loop, exit_in_a_task, cancel_all, break_selector], ids=lambda tool: tool.__name__
)
async def test_a_tool_that_breaks_its_loop_costs_no_other_kind_of_run_anything(tmp_path: Path, tool: Any) -> None:
    entered = threading.Event()

    async def wait_first() -> None:
        if not entered.is_set():
            entered.set()
            await asyncio.sleep(600)

    async def once_broken(context: Any) -> None:
        if context.attempt == 1:
            await tool()

    async with running(tmp_path, once_broken, wait_first, add, add_awaiting) as made:
        if tool is break_selector:
            await made.start("bystander", once("wait_first"))
            assert await asyncio.to_thread(entered.wait, DEADLINE_S)
        await made.start("breaks", once("once_broken"))
        await made.start("plain", loop_until(10), n=0)
        assert (await made.over("plain")).status == "completed"
        assert (await made.over("breaks")).status == "completed"
        await made.start("next", loop_until(3, "add_awaiting"), n=0)
        assert (await made.over("next")).status == "completed"
        if tool is break_selector:  # It begins again, as after the death of a server.
            assert (await made.over("bystander")).status == "completed"
            assert (await made.store.history.page("bystander", 0, 10)).items[0].attempt == 2
