"""What `rungraph.simulate` takes and returns."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import rungraph
from rungraph import simulate
from service.core.errors import Invalid
from service.core.tool import JsonObject
from tests.support.checkout import CHECKOUT

ADD: JsonObject = {"start_node": "a", "nodes": {"a": "add"}}
RETRIED: JsonObject = {"start_node": "a", "nodes": {"a": {"tool": "add", "retry": {"max_attempts": 3}}}}


def add(state: JsonObject) -> JsonObject:
    return {"n": state.get("n", 0) + 1}


def node(node: Any, **more: Any) -> JsonObject:
    return {"start_node": "a", "nodes": {"a": node}, **more}


def test_a_trace_has_steps_decisions_lines_and_the_final_state() -> None:
    again = {"to": "a", "condition": {"key": "n", "op": "<", "value": 2}}
    trace = simulate({**ADD, "edges": {"a": again}}, tools=[add], state={"n": 0})
    assert (trace.status, trace.state, trace.step, trace.current_node, trace.error) == (
        "completed",
        {"n": 2},
        2,
        None,
        None,
    )
    assert trace.path == ["a", "a"]
    assert trace.steps[1]["decision"]["evaluated"][0]["operands"] == {"n": 2}
    assert [line["event"] for line in trace.lines] == [
        "run_started",
        "step_completed",
        "step_completed",
        "run_completed",
    ]
    assert trace == simulate({**ADD, "edges": {"a": again}}, tools=[add], state={"n": 0})


def test_tools_are_replaced_by_functions_and_canned_results() -> None:
    for substitute in (add, {"n": 1}, [{"n": 1}], lambda: {"n": 1}):
        assert simulate(ADD, tools={"add": substitute}).state == {"n": 1}
    assert simulate(ADD, tools={"add": None}, state={"n": 7}).state == {"n": 7}
    assert simulate(ADD, tools={"add": ValueError("no")}).error is not None
    retried = simulate(RETRIED, tools={"add": [ValueError("no"), {"n": [1]}]})
    assert (retried.state, retried.attempts) == ({"n": [1]}, [("a", 1, "tool_error"), ("a", 2, None)])
    with pytest.raises(TypeError):
        simulate(ADD, tools={"add": 1})
    with pytest.raises(Invalid, match="no tool 'add'"):
        simulate(ADD, tools={"other": add})


def test_failures_are_injected_at_steps_and_nodes() -> None:
    given: list[dict[Any, Any]] = [{1: "timeout"}, {"a": ["timeout"]}, {1: "timeout", 7: "tool_error"}]
    for failures in given:
        trace = simulate(RETRIED, tools=[add], failures=failures)
        assert trace.attempts == [("a", 1, "timeout"), ("a", 2, None)]
        assert trace.ended_at == "2030-01-01T00:00:01.000Z"
    trace = simulate(RETRIED, tools=[add], failures={"a": [OSError("gone")] * 3})
    assert trace.error == {
        "type": "tool_error",
        "message": "OSError: gone",
        "node": "a",
        "step": 1,
        "attempt": 3,
    }
    for other in ({"sleep": 5}, {"signal": "s"}):
        assert simulate(node(other), failures={1: "timeout"}).status == "failed"
    with pytest.raises(ValueError, match="no type of error"):
        simulate(ADD, tools=[add], failures={1: "tiemout"})
    with pytest.raises(ValueError, match="no node 'ad' to fail"):
        simulate(ADD, tools=[add], failures={"ad": "timeout"})


def test_time_is_a_parameter_and_passes_at_once() -> None:
    started = time.monotonic()
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    trace = simulate(node({"sleep": 86_400 * 365}), now=now)
    assert (trace.status, trace.ended_at) == ("completed", "2027-03-01T12:00:00.000Z")
    trace = simulate(node({"sleep": {"until": "at"}}), state={"at": "2026-03-02T00:00:00Z"}, now=now)
    assert trace.ended_at == "2026-03-02T00:00:00.000Z"
    assert simulate(node({"sleep": 1}), now=now.replace(tzinfo=None)).ended_at == "2026-03-01T12:00:01.000Z"
    assert time.monotonic() - started < 60


def test_signals_come_at_the_start_or_later() -> None:
    waits = node({"signal": "ok", "timeout_s": 10})
    assert simulate(waits, signals={"ok": {"by": "me"}}).state == {"ok": {"by": "me"}}
    with pytest.raises(Invalid, match="no node of the graph waits for the signal 'okay'; did you mean 'ok'"):
        simulate(waits, signals={"okay": 1})
    late = simulate(waits, signals=[("ok", 1, 5)])
    assert (late.state, late.ended_at) == ({"ok": 1}, "2030-01-01T00:00:05.000Z")
    assert simulate(waits, signals=[("ok", 1, 11)]).error == simulate(waits).error != None  # noqa: E711
    forever = simulate(node({"signal": "ok"}))
    assert (forever.status, forever.waiting_for) == ("waiting", {"kind": "signal", "name": "ok"})
    with pytest.raises(Invalid):
        simulate(waits, signals={"ok": {1, 2}})


def test_children_are_simulated_too() -> None:
    child = {"name": "child", "start_node": "a", "nodes": {"a": "add"}}
    each = {"graph": "child", "for_each": "items", "into": "all", "max_parallel": 2}
    trace = simulate(node(each), tools=[add], state={"items": [5, 6, 7]}, graphs=[child])
    assert trace.state["all"] == [{"item": 5 + i, "index": i, "n": 1} for i in range(3)]
    assert [run.parent for run in trace.children] == [{"run_id": trace.run_id, "step": 1}] * 3
    both = {"graphs": {"y": "mine", "x": "child"}, "into": "both"}
    found = simulate(node(both), tools=[add], state={"n": 1}, graphs={"mine": child})
    assert found.state["both"] == {"x": {"n": 2}, "y": {"n": 2}}
    with pytest.raises(Invalid, match="no graph 'other'"):
        simulate(node({"graph": "other", "into": "x"}), graphs=[child], tools=[add])


def test_what_a_tool_logs_and_leaves(tmp_path: Path) -> None:
    async def leave(context: rungraph.Context) -> None:
        await asyncio.sleep(0)
        context.log("left", size=4)
        (context.folder / "left.txt").write_text("left")

    before = set(Path(tempfile.gettempdir()).iterdir())
    assert simulate(node("leave"), tools=[leave]).messages == ["left"]
    assert not [path for path in set(Path(tempfile.gettempdir()).iterdir()) - before if "rungraph-sim" in path.name]
    trace = simulate(node("leave"), tools=[leave], folder=tmp_path)
    assert (tmp_path / trace.run_id / "left.txt").read_text() == "left"


async def test_async_tools_are_called_within_a_running_loop_too() -> None:
    async def leave() -> JsonObject:
        await asyncio.sleep(0)
        return {"done": True}

    assert simulate(node("leave"), tools=[leave]).state == {"done": True}


def test_a_run_that_reaches_a_limit_is_paused() -> None:
    trace = simulate(node("add", edges={"a": "a"}, max_steps=3), tools=[add])
    assert (trace.status, trace.step, trace.lines[-1]["message"]) == ("paused", 3, "reached max_steps: 3 of 3 steps")


def test_what_is_changed_in_one_step_of_a_trace_is_changed_in_no_other() -> None:
    again = {"to": "a", "condition": {"key": "n", "op": "<", "value": 2}}
    trace = simulate({**ADD, "edges": {"a": again}}, tools=[add], state={"n": 0})
    first, second = (step["decision"]["evaluated"][0] for step in trace.steps)
    first["condition"]["value"] = 99
    assert second["condition"]["value"] == 2


def test_a_forked_process_simulates_as_its_parent_does() -> None:
    program = """
import os
from rungraph import simulate

def ends():
    return simulate({"start_node": "a", "nodes": {"a": "add"}}, tools={"add": lambda: {"n": 1}}).state == {"n": 1}

assert ends()
pid = os.fork()
if pid == 0:
    os._exit(42 if ends() else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
"""
    subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, check=True, timeout=60)
