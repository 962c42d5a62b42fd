"""A server leaves the runs whose tools it lacks to servers that have them, and says so at its start."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.api.responses.explanation import because
from service.core.tool import Tools
from service.server import report_missing_tools
from service.store.database.local_events import CLAIMABLE
from service.store.rows.records import RunRecord
from tests.support.engine.harness import Bench, bench, running


async def until(made: Bench, run_id: str, reached: Callable[[RunRecord], bool]) -> RunRecord:
    with made.store.events.subscribe(CLAIMABLE) as released:
        while not reached(run := await made.store.runs.get(run_id)):
            await released.wait()
            released.clear()
    return run


async def test_a_run_in_the_middle_of_which_a_tool_is_missing_goes_on_at_a_server_that_has_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither `retry` nor an error edge sees a missing tool: it is no failure of the node."""

    def first(state: dict[str, Any]) -> None:
        state["n"] += 1

    def second(state: dict[str, Any]) -> None:
        state["n"] += 10

    document = {
        "start_node": "a",
        "nodes": {"a": "first", "b": {"tool": "second", "retry": {"on": ["tool_missing"]}}, "c": "first"},
        "edges": {"a": "b", "b": [{"to": "c", "on_error": True}]},
    }
    async with bench(tmp_path, [first, second]) as before:
        await before.start("r", document, n=0)
        for number in range(3):
            await before.start(f"queued-{number}", {"start_node": "a", "nodes": {"a": "second"}}, n=0)
    async with running(tmp_path, first) as lacking:
        released = await until(lacking, "r", lambda run: run.step == 1 and run.status == "queued")
        assert (released.current_node, released.error) == ("b", None)
        said = because(await lacking.store.history.why("r"))
        assert re.fullmatch("It waits since .+Z for a server that has the tool 'second', which node 'b' calls.", said)
        said = "no tool 'second' is registered on this server; registered: first"
        assert [text for text in caplog.messages if "second" in text] == [
            f"{said}; runs that need it are left to servers that have it"
        ]
    async with running(tmp_path, first, second) as having:
        for run_id in ("r", "queued-0", "queued-1", "queued-2"):
            assert (await having.over(run_id)).status == "completed"
        assert await having.state("r") == {"n": 11}
        steps = (await having.store.history.page("r", 0, 10)).items
        assert [len(step.attempts) for step in steps] == [1, 1]


async def test_a_server_says_at_its_start_which_tools_it_lacks_and_for_how_many_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def first() -> None: ...
    def second() -> None: ...

    chain = {"start_node": "a", "nodes": {"a": "first", "b": "second"}, "edges": {"a": "b"}}
    async with bench(tmp_path, [first, second]) as made:
        for number in range(2):
            await made.start(f"chain-{number}", chain)
        await made.start("once", {"start_node": "a", "nodes": {"a": "second"}})
        with caplog.at_level(logging.WARNING, "service.server"):
            await report_missing_tools(made.store, Tools(made.tools))
            assert caplog.messages == []
            await report_missing_tools(made.store, Tools({}))
    said = "runs in flight need tools that this server lacks, and wait for servers that have them"
    assert caplog.messages == [f"{said}: 'second' (3), 'first' (2)"]
