"""Each attempt begins with fresh context variables, and leaves none behind; nor a tracer, nor a recursion limit."""

from __future__ import annotations

import asyncio
import decimal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.core.moves import Failed
from service.core.tool import Tool
from service.engine.guard import interpreter
from service.engine.guard.interpreter import RECURSION_LIMIT_MIN
from tests.support.engine.calls import COMMAND, in_calls
from tests.support.engine.context_tools import COLOUR, TOOLS, after_a_while, at_once, names_its_task, seen_and_set
from tests.support.engine.harness import loop_until, running


@pytest.mark.parametrize("tool", [seen_and_set, at_once, after_a_while])
async def test_each_step_begins_with_fresh_context_variables(tmp_path: Path, tool: Callable[..., Any]) -> None:
    async with running(tmp_path, tool, threads=1) as bench:
        for run_id in ("a", "b"):
            await bench.start(run_id, loop_until(3, tool.__name__), n=0, seen=[])
            assert (await bench.over(run_id)).status == "completed"
            fresh = ["none", decimal.DefaultContext.prec, True, True]
            assert (await bench.state(run_id))["seen"] == [fresh] * 3


def test_an_isolated_call_begins_with_fresh_context_variables(tmp_path: Path) -> None:
    command = (*COMMAND[:-1], COMMAND[-1].replace("tests.support.engine.hostile", "tests.support.engine.context_tools"))

    async def script(calls: Any) -> None:
        for tool in ("seen_and_set", "at_once", "after_a_while") * 2:
            seen = (await calls.returned(tool, seen=[], n=0))["seen"]
            assert seen == [["none", decimal.DefaultContext.prec, True, True]], tool

    in_calls(tmp_path, script, tools=TOOLS, command=command)


async def test_a_failed_attempt_leaves_no_context_variables_to_the_next(tmp_path: Path) -> None:
    seen: list[str] = []

    async def tool() -> None:
        seen.append(COLOUR.get())
        COLOUR.set("red")
        raise ValueError

    async with running(tmp_path, tool) as bench:
        retry = {"max_attempts": 2, "backoff_s": 0}
        await bench.start("r", {"start_node": "a", "nodes": {"a": {"tool": "tool", "retry": retry}}})
        assert (await bench.over("r")).status == "failed"
    assert seen == ["none", "none"]


async def test_a_name_that_a_tool_gives_its_task_does_not_stay(tmp_path: Path) -> None:
    async with running(tmp_path, names_its_task) as bench:
        await bench.start("r", loop_until(3, "names_its_task"), n=0, seen=[])
        await bench.over("r")
        assert (await bench.state("r"))["seen"] == [False] * 3


def test_a_cancel_reaches_a_tool_in_its_context(tmp_path: Path) -> None:
    seen: list[str] = []

    async def tool() -> None:
        COLOUR.set("red")
        try:
            await asyncio.sleep(600)
        finally:
            seen.append(COLOUR.get())

    async def script(calls: Any) -> None:
        outcome = await calls.call("tool", isolate=False, timeout_s=0.05)
        assert isinstance(outcome, Failed)
        assert (outcome.type, seen) == ("timeout", ["red"])

    in_calls(tmp_path, script, tools={"tool": Tool.of(tool)})


def test_a_tool_cannot_lower_the_recursion_limit_of_its_server(tmp_path: Path) -> None:
    def lowers() -> None:
        sys.setrecursionlimit(60)

    def raises() -> dict[str, Any]:
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(before + 100)
        sys.setrecursionlimit(before)
        return {"ok": True}

    async def script(calls: Any) -> None:
        outcome = await calls.call("lowers", isolate=False)
        assert isinstance(outcome, Failed)
        assert "isolate: true" in outcome.message
        assert sys.getrecursionlimit() >= RECURSION_LIMIT_MIN
        assert await calls.returned("raises", isolate=False) == {"ok": True}

    in_calls(tmp_path, script, tools={tool.__name__: Tool.of(tool) for tool in (lowers, raises)})


def test_a_tool_cannot_lower_the_digits_of_integers_of_its_server(tmp_path: Path) -> None:
    def lowers() -> None:
        sys.set_int_max_str_digits(640)

    def counts() -> dict[str, Any]:
        return {"n": 10**4000}

    async def script(calls: Any) -> None:
        outcome = await calls.call("lowers", isolate=False)
        assert isinstance(outcome, Failed)
        assert "isolate: true" in outcome.message
        assert await calls.returned("counts", isolate=False) == {"n": 10**4000}

    in_calls(tmp_path, script, tools={tool.__name__: Tool.of(tool) for tool in (lowers, counts)})


async def test_a_limit_that_was_lowered_in_another_way_is_put_back_while_the_tool_goes_on(tmp_path: Path) -> None:
    is_back = threading.Event()

    def tool() -> None:
        interpreter._set_recursion_limit(RECURSION_LIMIT_MIN - 200)
        interpreter._set_int_digits(640)
        sys.setswitchinterval(10)
        while sys.get_int_max_str_digits() < 4300:
            is_back.wait(0.01)
        while sys.getrecursionlimit() < RECURSION_LIMIT_MIN or sys.getswitchinterval() > 1:
            is_back.wait(0.01)

    async with running(tmp_path, tool) as bench:
        await bench.start("r", {"start_node": "a", "nodes": {"a": "tool"}})
        assert (await bench.over("r")).status == "completed"
