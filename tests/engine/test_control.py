"""Runs that wait, are tried again, have children, and are held: a real engine on a real file."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from service.core.errors import Conflict
from service.core.graph import Graph
from service.core.state import Changes, State
from service.store.rows.records import LineRecord
from tests.support.engine.harness import STATE_BYTES_MAX, Bench, loop_until, running

JsonObject = dict[str, Any]


def add(state: JsonObject, metadata: JsonObject) -> JsonObject:
    return {"n": state.get("n", 0) + metadata.get("by", 1)}


def fail_at_first(state: JsonObject, context: Any) -> JsonObject:
    if context.attempt <= state.get("failures", 1):
        raise ValueError(f"attempt {context.attempt}")
    return {"attempt": context.attempt}


async def becomes(made: Bench, run_id: str, status: str) -> None:
    """Wait until the run has that status: its lines wake us."""
    with made.store.events.subscribe(run_id) as woken:
        while (await made.store.runs.get(run_id)).status != status:
            async with asyncio.timeout(60):
                await woken.wait()
            woken.clear()


async def events(made: Bench, run_id: str) -> list[str]:
    lines: list[LineRecord] = (await made.store.logs.page(run_id, 0, 1000))[0]
    return [line.event for line in lines]


def scenario(folder: Path, *tools: Callable[..., Any]) -> Callable[[Callable[[Bench], Awaitable[None]]], None]:
    """Do something with a running engine that has `tools`."""

    def do(script: Callable[[Bench], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with running(folder, *tools) as made:
                await script(made)

        asyncio.run(whole())

    return do


SLEEPS: JsonObject = {"start_node": "nap", "nodes": {"nap": {"sleep": 0.05}, "a": "add"}, "edges": {"nap": "a"}}


def test_a_run_sleeps_and_goes_on(tmp_path: Path) -> None:
    @scenario(tmp_path, add)
    async def _(made: Bench) -> None:
        await made.start("r", SLEEPS)
        record = await made.over("r")
        assert (record.status, record.step) == ("completed", 2)
        assert await events(made, "r") == [
            "run_started",
            "run_waiting",
            "step_completed",
            "step_completed",
            "run_completed",
        ]
        nap = (await made.store.history.page("r", 0, 10)).items[0]
        assert nap.duration_ms >= 50


def test_a_failing_node_is_tried_again_after_a_backoff(tmp_path: Path) -> None:
    @scenario(tmp_path, fail_at_first)
    async def _(made: Bench) -> None:
        node = {"tool": "fail_at_first", "retry": {"max_attempts": 3, "backoff_s": 0.01}}
        await made.start("r", {"start_node": "a", "nodes": {"a": node}}, failures=2)
        record = await made.over("r")
        assert (record.status, await made.state("r")) == ("completed", {"failures": 2, "attempt": 3})
        (step,) = (await made.store.history.page("r", 0, 10)).items
        assert [(each.attempt, each.error is None) for each in step.attempts] == [(1, False), (2, False), (3, True)]


def test_an_error_edge_takes_what_failed_for_good(tmp_path: Path) -> None:
    @scenario(tmp_path, fail_at_first, add)
    async def _(made: Bench) -> None:
        graph = {
            "start_node": "a",
            "nodes": {"a": "fail_at_first", "b": "add"},
            "edges": {"a": [{"to": "b", "on_error": ["tool_error"], "into": "why"}]},
        }
        await made.start("r", graph)
        record = await made.over("r")
        state = await made.state("r")
        assert (record.status, state["n"]) == ("completed", 1)
        message = state["why"].pop("message")
        assert re.fullmatch(r"ValueError: attempt 1 \(.*test_control\.py:\d+, in fail_at_first\)", message)
        assert state["why"] == {
            "type": "tool_error",
            "node": "a",
            "step": 1,
            "attempt": 1,
        }
        step = (await made.store.history.page("r", 0, 1)).items[0]
        assert step.reason == "on_error"
        assert [each.attempt for each in step.attempts] == [1]


APPROVAL: JsonObject = {"start_node": "ask", "nodes": {"ask": {"signal": "ok", "into": "answer"}}}


def test_a_signal_wakes_the_run_that_waits_for_it(tmp_path: Path) -> None:
    @scenario(tmp_path)
    async def _(made: Bench) -> None:
        await made.start("r", APPROVAL)
        await becomes(made, "r", "waiting")
        await made.store.signals.send("r", "other", "1")
        await made.store.signals.send("r", "ok", '{"by":"me"}')
        assert (await made.over("r")).status == "completed"
        assert await made.state("r") == {"answer": {"by": "me"}}


def test_a_signal_that_came_before_is_taken_at_once(tmp_path: Path) -> None:
    @scenario(tmp_path, add)
    async def _(made: Bench) -> None:
        graph = {"start_node": "nap", "nodes": {"nap": {"sleep": 0.05}, **APPROVAL["nodes"]}, "edges": {"nap": "ask"}}
        await made.start("r", graph)
        await made.store.signals.send("r", "ok", "1")
        await made.store.signals.send("r", "ok", "2")
        assert (await made.over("r")).status == "completed"
        assert await made.state("r") == {"answer": 1}


def test_a_signal_that_does_not_come_is_a_timeout(tmp_path: Path) -> None:
    @scenario(tmp_path)
    async def _(made: Bench) -> None:
        await made.start("r", {"start_node": "ask", "nodes": {"ask": {"signal": "ok", "timeout_s": 0.05}}})
        record = await made.over("r")
        assert (record.status, json.loads(record.error or "")["type"]) == ("failed", "timeout")


async def child(made: Bench, document: JsonObject) -> str:
    graph: Graph = await made.start("template", document, n=0)
    await made.over("template")
    return graph.id


def test_children_are_joined_in_the_order_of_their_elements(tmp_path: Path) -> None:
    @scenario(tmp_path, add)
    async def _(made: Bench) -> None:
        inner = await child(made, {"start_node": "a", "nodes": {"a": "add"}})
        node = {"graph": inner, "for_each": "items", "into": "sums", "input": ["n"], "max_parallel": 3}
        await made.start("r", {"start_node": "all", "nodes": {"all": node}}, items=list(range(250)), n=5)
        assert (await made.over("r")).status == "completed"
        sums = (await made.state("r"))["sums"]
        assert sums == [{"n": 6, "item": index, "index": index} for index in range(250)]


def test_a_single_child_gets_the_whole_state(tmp_path: Path) -> None:
    @scenario(tmp_path, add)
    async def _(made: Bench) -> None:
        inner = await child(made, {"start_node": "a", "nodes": {"a": "add"}})
        await made.start("r", {"start_node": "one", "nodes": {"one": {"graph": inner, "into": "got"}}}, n=5, m=1)
        assert (await made.over("r")).status == "completed"
        assert await made.state("r") == {"n": 5, "m": 1, "got": {"n": 6, "m": 1}}


def test_a_child_that_fails_fails_its_parent_and_cancels_the_others(tmp_path: Path) -> None:
    @scenario(tmp_path, add)
    async def _(made: Bench) -> None:
        def fails(edge: JsonObject) -> JsonObject:
            return {"start_node": "a", "nodes": {"a": "add", "nap": {"sleep": 60}}, "edges": {"a": edge}}

        inner = await child(
            made,
            fails({"to": "nap", "condition": {"key": "item", "op": "!=", "value": "x"}})
            | {
                "nodes": {"a": "add", "nap": {"sleep": 60}},
                "edges": {
                    "a": [
                        {"to": None, "condition": {"key": "n", "op": "==", "value": 1}},
                        {"to": "nap", "condition": {"key": "item", "op": "<", "value": 3}},
                        {"to": "nap", "condition": {"key": "missing", "op": "==", "value": 1}},
                    ]
                },
            },
        )
        node = {"graph": inner, "for_each": "items", "into": "sums", "input": ["n"]}
        await made.start("r", {"start_node": "all", "nodes": {"all": node}}, items=[1, 2, 3], n=5)
        record = await made.over("r")
        assert (record.status, json.loads(record.error or "")["type"]) == ("failed", "child_failed")


def test_a_run_is_paused_at_its_limit_and_resumed_with_another(tmp_path: Path) -> None:
    @scenario(tmp_path, add)
    async def _(made: Bench) -> None:
        await made.start("r", loop_until(5) | {"max_steps": 2}, n=0)
        await becomes(made, "r", "paused")
        assert await made.store.control.resume("r") == "queued"
        await becomes(made, "r", "paused")
        await made.store.control.resume("r", max_steps=10)
        assert ((await made.over("r")).status, (await made.state("r"))["n"]) == ("completed", 5)


def patched(**keys: Any) -> Callable[[State], Changes]:
    def patch(state: State) -> Changes:
        before = state.to_object()
        return state.changes_to(before | keys, before, STATE_BYTES_MAX)

    return patch


def test_a_failed_run_is_resumed_where_it_failed(tmp_path: Path) -> None:
    @scenario(tmp_path, fail_at_first)
    async def _(made: Bench) -> None:
        await made.start("r", {"start_node": "a", "nodes": {"a": "fail_at_first"}}, failures=1)
        assert (await made.over("r")).status == "failed"
        await made.store.control.resume("r")
        await becomes(made, "r", "completed")
        assert (await made.state("r"))["attempt"] == 2


def test_a_patch_is_a_step_of_its_own(tmp_path: Path) -> None:
    @scenario(tmp_path, fail_at_first)
    async def _(made: Bench) -> None:
        await made.start("r", {"start_node": "a", "nodes": {"a": "fail_at_first"}}, failures=1)
        assert (await made.over("r")).status == "failed"
        await made.store.control.resume("r", patched(failures=0))
        await becomes(made, "r", "completed")
        first, second = (await made.store.history.page("r", 0, 10)).items
        assert (first.node, first.attempt, first.attempts, first.reason, first.next_node) == (None, 0, (), "patch", "a")
        assert (second.node, second.attempt) == ("a", 1)


def test_a_parked_run_is_paused_resumed_and_cancelled(tmp_path: Path) -> None:
    @scenario(tmp_path)
    async def _(made: Bench) -> None:
        await made.start("r", APPROVAL)
        await becomes(made, "r", "waiting")
        assert await made.store.control.pause("r") == "paused"
        await made.store.signals.send("r", "ok", "1")
        assert (await made.store.runs.get("r")).status == "paused"
        assert await made.store.control.resume("r") == "waiting"
        assert (await made.over("r")).status == "completed"
        await made.start("s", APPROVAL)
        await becomes(made, "s", "waiting")
        await made.store.control.cancel("s")
        await made.store.control.cancel("s")
        assert (await made.over("s")).status == "cancelled"
        with pytest.raises(Conflict, match="completed"):
            await made.store.control.cancel("r")
