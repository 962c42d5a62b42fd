"""What the contract says of a tool's call holds whichever way it is called: the same cases for all four."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from service.core.moves import Failed, Succeeded
from service.engine.ways.on_cluster import OnCluster
from tests.support.engine import hostile
from tests.support.engine.calls import STATE_BYTES_MAX, Calls, Made, in_calls, until_dead
from tests.support.engine.cluster import Dask, linked

WAYS = ("thread", "loop", "process", "cluster")
STATE = {"zero": -0.0, "list": [2**64, 0.1, "é\u2028", None], "gone": 1, "deep": {"z": 1, "a": [1, 1.0]}}


class Way:
    """One way of calling the tools of `hostile`. On the loop, async versions of them are called."""

    def __init__(self, name: str, calls: Calls) -> None:
        self.name = name
        self._calls = calls

    def begin(self, tool: str, **options: Any) -> Made:
        tool = f"{tool}_awaiting" if self.name == "loop" and not hostile.TOOLS[tool].is_async else tool
        resources: dict[str, int | float] | None = {} if self.name == "cluster" else None
        return self._calls.begin(tool, isolate=self.name == "process", resources=resources, **options)

    async def call(self, tool: str, **options: Any) -> Any:
        return await self.begin(tool, **options).outcome()


def lines_of(made: Made) -> list[Any]:
    """The lines of the tool, without those that name the worker."""
    made.lines.close()
    found = [(line.message, line.level, json.loads(line.data)) for line in made.lines.rest()]
    return [line for line in found if "cluster" not in line[2]]


@pytest.fixture(params=WAYS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Callable[[Way], Awaitable[Any]]], Any]:
    """Runs a script with a way of calling tools."""
    name = request.param

    def run(script: Callable[[Way], Awaitable[Any]]) -> Any:
        async def in_way(calls: Calls) -> Any:
            return await script(Way(name, calls))

        if name != "cluster":
            return in_calls(tmp_path, in_way)
        (tmp_path / "runs").mkdir()
        made: Dask = request.getfixturevalue("cluster")
        with linked(made.address) as link:
            return in_calls(tmp_path, in_way, on_cluster=lambda: OnCluster(link, 100))

    return run


def test_a_state_comes_back_exactly(run: Callable[..., Any]) -> None:
    metadata = {"big": 10**4000, "zero": -0.0, "order": {"b": [], "a": {}}}

    async def script(way: Way) -> None:
        outcome = await way.call("change", metadata=metadata, **STATE)
        assert isinstance(outcome, Succeeded), outcome
        assert list(outcome.changes.set) == ["list", "metadata", "new", "also new"]
        assert outcome.changes.set["list"].text == '[18446744073709551616,0.1,"é\u2028",null,[1,-0.0]]'
        assert outcome.changes.set["metadata"].text == json.dumps(metadata, separators=(",", ":"))
        assert [entry.position for entry in outcome.changes.set.values()] == [1, 4, 5, 6]
        assert outcome.changes.unset == ("gone",)
        large = await way.call("large", text='\\"\n' * 2**18)
        assert json.loads(large.changes.set["copy"].text) == ('\\"\n' * 2**18)[::-1]

    run(script)


def test_a_context_tells_the_place_and_has_the_folder(run: Callable[..., Any], tmp_path: Path) -> None:
    async def script(way: Way) -> None:
        outcome = await way.call("place")
        assert json.loads(outcome.changes.set["seen"].text) == ["r", 7, 2, "a", "r:7"]
        assert (tmp_path / "runs" / "r" / "left.txt").read_text() == "here"

    run(script)


BAD = {
    "value_error": ("tool_error", "ValueError: no \ufffd"),
    "system_exit": ("tool_error", "SystemExit: 3"),
    "nan": ("invalid_state", "nan is not a JSON number, at /bad"),
    "a_set": ("invalid_state", "a set is not JSON, at /bad"),
    "five": ("tool_error", "the tool returned a int; it must return a dict or None"),
    "too_deep": ("invalid_state", "nested deeper than 100 levels"),
    "too_large": ("invalid_state", f"has more than {STATE_BYTES_MAX} bytes"),
}


def test_a_bad_tool_fails_its_attempt(run: Callable[..., Any]) -> None:
    async def script(way: Way) -> None:
        for tool, (type_, message) in BAD.items():
            outcome = await way.call(tool)
            assert isinstance(outcome, Failed), outcome
            assert outcome.type == type_
            assert message in outcome.message

    run(script)


def test_lines_arrive_in_order_once_and_are_counted(run: Callable[..., Any]) -> None:
    async def script(way: Way) -> None:
        made = way.begin("logs")
        assert isinstance(await made.outcome(), Succeeded)
        assert lines_of(made) == [
            ("by context", "info", {"colour": "red", "odd": "{1}"}),
            ("careful 3", "warning", {"logger": "somebody"}),
        ]
        made = way.begin("floods")
        assert isinstance(await made.outcome(), Succeeded)
        messages = [message for message, _, _ in lines_of(made)]
        assert messages[:-1] == [str(number) for number in range(10_000)]
        assert messages[-1] == "7 more lines of this step were left out"

    run(script)


def test_lines_arrive_and_a_cancel_counts_while_the_tool_runs(run: Callable[..., Any], tmp_path: Path) -> None:
    async def script(way: Way) -> None:
        metadata = {"until": str(tmp_path / "go")}
        made = way.begin("waits_for_a_file", metadata=metadata)
        pid = await made.pid()
        assert not made.task.done()
        made.carrier.has_given_up = True
        made.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await made.outcome()
        if way.name in ("process", "cluster"):
            await asyncio.to_thread(until_dead, pid)
        (tmp_path / "go").touch()
        assert made.carrier.begun == 1

    run(script)


def test_a_timeout_is_a_failure(run: Callable[..., Any], tmp_path: Path) -> None:
    async def script(way: Way) -> None:
        made = way.begin("waits_for_a_file", metadata={"until": str(tmp_path / "go")}, timeout_s=0.3)
        assert await made.outcome() == Failed("timeout", "the tool took longer than 0.3 s")
        (tmp_path / "go").touch()

    run(script)
