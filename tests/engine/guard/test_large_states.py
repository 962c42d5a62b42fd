"""A bound on the states of all runs that a server executes: the others wait, and large runs take turns."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path
from typing import Any

from service.core.tool import Tool
from service.engine.runner import Runner
from tests.support.engine.harness import Bench, loop_until, running

TEXT = "x" * 10_000
ACTIVE_BYTES_MAX = 3 * len(TEXT)
READ_BEYOND_MAX = 8
"""States that the last query of a claim may read beyond the bound."""
ENDLESS = {"start_node": "a", "nodes": {"a": "step"}, "edges": {"a": "a"}, "max_steps": 10**9}


async def start(made: Bench, count: int, document: dict[str, Any], **state: Any) -> list[str]:
    run_ids = [f"00000000-0000-7000-8000-{number:012}" for number in range(count)]
    for run_id in run_ids:
        await made.start(run_id, document, n=0, run=run_id, **state)
    return run_ids


async def test_runs_with_large_states_are_not_all_executed_at_once(tmp_path: Path) -> None:
    going_on, three_have_begun = threading.Event(), threading.Event()
    begun, most = set[str](), 0

    def step(state: dict[str, Any]) -> dict[str, Any]:
        nonlocal most
        begun.add(state["run"])
        most = max(most, len(begun))
        if len(begun) == 3:
            three_have_begun.set()
        assert going_on.wait(60)
        begun.discard(state["run"])
        return {"n": state["n"] + 1}

    async with running(tmp_path, step, active_bytes_max=ACTIVE_BYTES_MAX, threads=40) as made:
        run_ids = await start(made, 20, loop_until(2, "step"), text=TEXT)
        assert await asyncio.to_thread(three_have_begun.wait, 60)
        going_on.set()
        for run_id in run_ids:
            assert (await made.over(run_id)).status == "completed"
    assert most <= 3 + READ_BEYOND_MAX


async def test_large_runs_that_do_not_end_take_turns(tmp_path: Path) -> None:
    steps: dict[str, int] = {}
    all_had_turns = threading.Event()

    def step(state: dict[str, Any]) -> dict[str, Any]:
        steps[state["run"]] = state["n"]
        if len(steps) == 8 and min(steps.values()) >= 2:
            all_had_turns.set()
        return {"n": state["n"] + 1}

    async with running(tmp_path, step, active_bytes_max=ACTIVE_BYTES_MAX) as made:
        await start(made, 8, ENDLESS, text=TEXT)
        assert await asyncio.to_thread(all_had_turns.wait, 60)


async def test_runs_that_have_grown_make_room(tmp_path: Path) -> None:
    grown = set[str]()

    def step(state: dict[str, Any]) -> dict[str, Any]:
        grown.add(state["run"])
        return {"n": state["n"] + 1, "text": TEXT}

    async with running(tmp_path, step, active_bytes_max=ACTIVE_BYTES_MAX) as made:
        run_ids = await start(made, 10, ENDLESS)
        async with asyncio.timeout(60):
            while len(grown) < 10 or await queued(made, run_ids) < 5:
                await asyncio.to_thread(lambda: None)


async def queued(made: Bench, run_ids: list[str]) -> int:
    return [(await made.store.runs.get(run_id)).status for run_id in run_ids].count("queued")


async def test_runs_that_are_over_leave_nothing_to_the_garbage_collector(tmp_path: Path) -> None:
    """The collector counts objects and not their bytes, so a few large states could fill the memory."""

    async def step(state: dict[str, Any]) -> dict[str, Any]:
        return {"n": state["n"] + 1}

    async def fail() -> None:
        raise ValueError("no")

    edges = {"a": "p", "p": "f", "f": {"to": "z", "on_error": True}}
    document = {"start_node": "a", "nodes": {"a": "step", "p": "ahead", "f": "fail", "z": {"sleep": 0}}, "edges": edges}
    async with running(tmp_path, step, fail, Tool.of(step, name="ahead", pure=True)) as made:
        gc.collect()
        gc.disable()
        try:
            for run_id in await start(made, 10, document, text=TEXT):
                assert (await made.over(run_id)).status == "completed"
            async with asyncio.timeout(60):
                # The last one may still be a local variable.
                while sum(isinstance(each, Runner) for each in gc.get_objects()) > 1:
                    await asyncio.to_thread(lambda: None)
        finally:
            gc.enable()
