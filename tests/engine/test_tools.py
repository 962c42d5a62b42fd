"""Whatever a tool does, its run ends with an outcome and its server goes on."""

from __future__ import annotations

import asyncio
import enum
import functools
import json
import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.core.errors import ConditionError
from service.core.tool import Tool
from tests.support.engine.harness import loop_until, running

ONCE = {"start_node": "a", "nodes": {"a": "tool"}}


class Colour(enum.IntEnum):
    RED = 1


def cyclic() -> dict[str, Any]:
    made: dict[str, Any] = {}
    made["self"] = made
    return made


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


async def cancels_itself() -> dict[str, Any]:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    return {"late": True}


async def cancels_itself_and_waits() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(60)


async def stops_the_loop() -> None:
    asyncio.get_running_loop().stop()


async def cancels_every_task() -> None:
    for task in asyncio.all_tasks():
        task.cancel()


def raises(error: BaseException) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A plain and an async tool that raise `error`."""

    def tool() -> None:
        raise error

    async def awaited() -> None:
        raise error

    awaited.__name__ = "tool"
    return tool, awaited


def outcome_of(folder: Path, tool: Callable[..., Any], **state: Any) -> tuple[str, dict[str, Any] | None, Any]:
    async def script() -> tuple[str, dict[str, Any] | None, Any]:
        tool.__name__ = "tool"
        async with running(folder, tool) as bench:
            await bench.start("r", ONCE, **state)
            record = await bench.over("r")
            return record.status, json.loads(record.error) if record.error else None, await bench.state("r")

    return asyncio.run(script())


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        SystemExit(3),
        KeyboardInterrupt(),
        StopIteration(1),
        asyncio.CancelledError(),
        GeneratorExit(),
        RecursionError(),
        MemoryError(),
        BaseException("\ud800\0"),
        Unspeakable(),
        ConditionError("not an edge's"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("kind", [0, 1], ids=["plain", "async"])
def test_whatever_a_tool_raises_is_its_runs_error(tmp_path: Path, error: BaseException, kind: int) -> None:
    status, failure, _ = outcome_of(tmp_path, raises(error)[kind], n=1)
    assert status == "failed"
    assert failure is not None
    assert failure["type"] == "tool_error"
    assert (failure["node"], failure["step"], failure["attempt"]) == ("a", 1, 1)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({1}, id="set"),
        pytest.param(float("nan"), id="nan"),
        pytest.param(float("inf"), id="inf"),
        pytest.param(b"x", id="bytes"),
        pytest.param(object(), id="object"),
        pytest.param("\ud800", id="surrogate"),
        pytest.param("a\0b", id="nul"),
        pytest.param({1: 2}, id="int-key"),
        pytest.param({"\0": 1}, id="nul-key"),
        pytest.param("x" * (20 * 2**20), id="20-mib"),
        pytest.param(10**4300, id="4301-digits"),
        pytest.param(cyclic(), id="cyclic"),
    ],
)
def test_what_is_no_state_fails_the_attempt_and_the_last_good_state_stands(tmp_path: Path, value: Any) -> None:
    status, failure, state = outcome_of(tmp_path, lambda: {"bad": value}, n=1)
    assert status == "failed"
    assert failure is not None
    assert failure["type"] == "invalid_state"
    assert state == {"n": 1}


@pytest.mark.parametrize("tool", [cancels_itself, cancels_itself_and_waits])
def test_a_tool_that_cancels_its_own_task_fails_its_run(tmp_path: Path, tool: Callable[..., Any]) -> None:
    status, failure, state = outcome_of(tmp_path, tool, n=1)
    assert (status, state) == ("failed", {"n": 1})
    assert failure is not None
    assert failure["type"] == "tool_error"


@pytest.mark.parametrize("hostile", [stops_the_loop, cancels_every_task])
async def test_a_tool_that_turns_on_the_loop_stops_no_other_run(tmp_path: Path, hostile: Callable[..., Any]) -> None:
    async def add(state: dict[str, Any]) -> None:
        state["n"] += 1

    async def script() -> Any:
        async with running(tmp_path, hostile, add) as bench:
            await bench.start("hostile", {"start_node": "a", "nodes": {"a": hostile.__name__}})
            await bench.over("hostile")
            await bench.start("r", loop_until(5), n=0)
            await bench.over("r")
            return await bench.state("r")

    async with asyncio.timeout(60):
        assert await script() == {"n": 5}


@pytest.mark.parametrize("returned", [5, "x", [1], True, {1}], ids=repr)
def test_a_tool_returns_a_dict_or_none(tmp_path: Path, returned: Any) -> None:
    status, failure, _ = outcome_of(tmp_path, lambda: returned)
    assert status == "failed"
    assert failure is not None
    assert failure["type"] == "tool_error"
    assert re.search(r"it must return a dict or None \(.*test_tools\.py:\d+\)$", failure["message"])


async def test_one_failure_reads_as_one_and_says_where(tmp_path: Path) -> None:
    def count(state: dict[str, Any]) -> dict[str, Any]:
        return {"n": state["n"] + 1}

    async with running(tmp_path, count) as bench:
        await bench.start("r", {"start_node": "a", "nodes": {"a": "count"}})
        (_, failed, ended), error = (await bench.lines("r"), (await bench.store.runs.get("r")).error)
    said = json.loads(error or "")["message"]
    assert re.fullmatch(r"KeyError: 'n' \(.*test_tools\.py:\d+, in count\)", said)
    assert (failed.event, failed.message) == ("step_failed", f"tool_error: {said}")
    assert (ended.event, ended.message, ended.data) == ("run_failed", "failed in step 1 (tool_error)", "{}")
    trace = json.loads(failed.data)["traceback"].splitlines()
    assert (trace[0], trace[-1]) == ("Traceback (most recent call last):", "KeyError: 'n'")
    assert "in count" in trace[1]  # And not the engine's own lines.


async def add(state: dict[str, Any]) -> dict[str, Any]:
    """Await, log, and add one."""
    await asyncio.sleep(0)
    logging.getLogger("tool").info("on %s", threading.current_thread().name)
    return {"n": state["n"] + 1}


def wrapper(state: dict[str, Any]) -> Any:
    return add(state)


def runs_by_itself(state: dict[str, Any]) -> Any:
    return asyncio.run(add(state))


class Later:
    """What can be awaited, and is no coroutine."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def __await__(self) -> Any:
        return add(self.state).__await__()


class Adds:
    __name__ = "tool"

    async def __call__(self, state: dict[str, Any]) -> dict[str, Any]:
        return await add(state)


@pytest.mark.parametrize(
    ("tool", "thread"),
    [
        (wrapper, "rungraph-async-tools"),
        (functools.partial(Later), "rungraph-async-tools"),
        (lambda state: functools.partial(add, state)(), "rungraph-async-tools"),
        (Adds(), "rungraph-async-tools"),
        (runs_by_itself, "rungraph-tool"),
    ],
    ids=["coroutine", "awaitable", "partial", "object", "by itself"],
)
async def test_what_a_plain_tool_leaves_to_be_awaited_is_awaited(
    tmp_path: Path, tool: Callable[..., Any], thread: str
) -> None:
    given = Tool.of(tool, "tool")
    async with running(tmp_path, wrapper) as bench:
        bench.tools["tool"] = given
        await bench.start("r", ONCE, n=1)
        lines = await bench.lines("r")
        assert (await bench.state("r"), [line.message for line in lines if line.event == "log"]) == (
            {"n": 2},
            [f"on {thread}"],
        )


async def test_what_is_left_to_be_awaited_may_fail_and_has_the_rest_of_the_time(tmp_path: Path) -> None:
    async def fails() -> None:
        raise ValueError("late")

    async def sleeps() -> None:
        await asyncio.sleep(600)

    def fail() -> Any:
        return fails()

    def sleep() -> Any:
        return sleeps()

    async with running(tmp_path, fail, sleep) as bench:
        for name in ("fail", "sleep"):
            await bench.start(name, {"start_node": "a", "nodes": {"a": {"tool": name, "timeout_s": 0.2}}})
        failed, slept = [json.loads((await bench.over(name)).error or "") for name in ("fail", "sleep")]
    assert re.fullmatch(r"ValueError: late \(.*, in fails\)", failed["message"])
    assert slept["type"] == "timeout"


def test_the_new_state_is_what_the_tool_left_plus_what_it_returned(tmp_path: Path) -> None:
    def tool(state: dict[str, Any]) -> dict[str, Any]:
        del state["gone"]
        state["kept"].append((1, Colour.RED))
        state["n"] = 1
        return {"n": 2, "big": 2**70, "zero": -0.0}

    status, _, state = outcome_of(tmp_path, tool, gone=1, kept=[], n=0)
    assert status == "completed"
    assert json.dumps(state) == '{"kept": [[1, 1]], "n": 2, "big": 1180591620717411303424, "zero": -0.0}'


async def test_metadata_is_a_fresh_copy_for_each_attempt(tmp_path: Path) -> None:
    def tool(state: dict[str, Any], metadata: dict[str, Any]) -> None:
        metadata["list"].append(1)
        state["n"] += len(metadata["list"])

    async with running(tmp_path, tool) as bench:
        document = loop_until(3, "tool")
        document["nodes"] = {"a": {"tool": "tool", "metadata": {"list": []}}}
        await bench.start("r", document, n=0)
        await bench.over("r")
        assert (await bench.state("r"), (await bench.store.runs.get("r")).step) == ({"n": 3}, 3)


def test_context_tells_a_tool_where_it_is(tmp_path: Path) -> None:
    def tool(context: Any) -> dict[str, Any]:
        (context.folder / "left.txt").write_text("here")
        return {"seen": [context.run_id, context.step, context.attempt, context.node, context.idempotency_key]}

    _, _, state = outcome_of(tmp_path, tool)
    assert state == {"seen": ["r", 1, 1, "a", "r:1"]}
    assert (tmp_path / "runs" / "r" / "left.txt").read_text() == "here"


async def test_tools_that_block_for_good_hold_up_nobody_else(tmp_path: Path) -> None:
    released = threading.Event()

    def block() -> None:
        released.wait()

    def add(state: dict[str, Any]) -> None:
        state["n"] += 1

    async def script() -> Any:
        async with running(tmp_path, block, add) as bench:
            try:
                for number in range(12):
                    await bench.start(f"blocked-{number}", {"start_node": "a", "nodes": {"a": "block"}})
                await bench.start("r", loop_until(20), n=0)
                await bench.over("r")
                return await bench.state("r")
            finally:
                released.set()

    assert await script() == {"n": 20}


async def test_a_run_at_max_steps_is_paused_and_not_destroyed(tmp_path: Path) -> None:
    def add(state: dict[str, Any]) -> None:
        state["n"] += 1

    async with running(tmp_path, add) as bench:
        await bench.start("r", {**loop_until(100), "max_steps": 5}, n=0)
        paused = asyncio.Event()
        with bench.store.events.subscribe("r") as woken:
            while (await bench.store.runs.get("r")).status != "paused":
                await woken.wait()
                woken.clear()
            paused.set()
        record = await bench.store.runs.get("r")
        lines, _, _ = await bench.store.logs.page("r", 0, 100)
        assert (record.step, record.error, record.current_node, lines[-1].event, await bench.state("r")) == (
            5,
            None,
            "a",
            "run_paused",
            {"n": 5},
        )
