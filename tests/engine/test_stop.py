"""A stop is prompt: steps get their grace, unfinished runs are given back, and nobody waits for a tool."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

import service.engine.engine as engine_room
from service.engine.engine import Engine, EngineSettings
from tests.support.engine import hostile
from tests.support.engine.calls import COMMAND, until_dead
from tests.support.engine.harness import STATE_BYTES_MAX, Bench, bench, loop_until


async def test_a_stop_rests_at_the_step_boundary_and_releases(tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    def add(state: dict[str, Any]) -> None:
        entered.set()
        assert leave.wait(60)
        state["n"] += 1

    async with bench(tmp_path, [add]) as made:
        engine = Engine(made.store, made.tools, EngineSettings(made.runs_folder, 10, 4, STATE_BYTES_MAX, 15))
        engine.start()
        await made.start("r", loop_until(100), n=0)
        await asyncio.to_thread(entered.wait)
        engine.ask_to_stop()
        leave.set()
        await engine.stop()
        record = await made.store.runs.get("r")
        assert record.status == "queued"
        assert record.step >= 1
        assert await made.state("r") == {"n": record.step}
        # Given back, so that whoever comes next goes on at once, and not as a takeover.
        (claim,) = await made.store.leases.claim(1)
        assert (claim.run.attempt, claim.run.crashes) == (1, 0)


@pytest.mark.parametrize("kind", ["plain", "swallows its cancel", "blocks its loop"])
async def test_after_the_grace_an_attempt_is_given_up_and_its_late_result_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(engine_room, "GRACE_S", 0.2)
    entered, leave = threading.Event(), threading.Event()

    def plain(state: dict[str, Any]) -> None:
        entered.set()
        leave.wait(60)
        state["late"] = True

    async def swallowing(state: dict[str, Any]) -> None:
        entered.set()
        while not leave.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue
        state["late"] = True

    async def blocking(state: dict[str, Any]) -> None:
        plain(state)

    tool = {"plain": plain, "swallows its cancel": swallowing, "blocks its loop": blocking}[kind]

    async with bench(tmp_path, [tool]) as made:
        engine = Engine(made.store, made.tools, EngineSettings(made.runs_folder, 10, 4, STATE_BYTES_MAX, 15))
        engine.start()
        await made.start("r", {"start_node": "a", "nodes": {"a": tool.__name__}})
        await asyncio.to_thread(entered.wait)
        async with asyncio.timeout(60):
            await engine.stop()
        assert (await made.store.runs.get("r")).status == "queued"
        leave.set()
        await asyncio.to_thread(engine._thread.join, 60)
        assert (await made.store.runs.get("r")).status == "queued"
        assert await made.state("r") == {}
        (claim,) = await made.store.leases.claim(1)
        assert (claim.run.attempt, claim.run.crashes) == (2, 0)


async def test_after_the_grace_the_process_of_an_isolated_tool_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_room, "GRACE_S", 0.2)

    async with bench(tmp_path, [hostile.spins]) as made:
        settings = EngineSettings(made.runs_folder, 10, 4, STATE_BYTES_MAX, 15, COMMAND)
        engine = Engine(made.store, made.tools, settings)
        engine.start()
        await made.start("r", {"start_node": "a", "nodes": {"a": {"tool": "spins", "isolate": True}}})
        pid = await _pid_in_line(made)
        async with asyncio.timeout(60):
            await engine.stop()
        until_dead(pid)
        # No death of its own: whoever comes next tries it again.
        assert (await made.store.runs.get("r")).status == "queued"
        (claim,) = await made.store.leases.claim(1)
        assert (claim.run.attempt, claim.run.crashes) == (2, 0)


async def _pid_in_line(made: Bench) -> int:
    async for lines in made.store.tails.lines("r", 0, gone=lambda _: False):
        for line in lines:
            if line.message == "begun":
                return int(json.loads(line.data)["pid"])
    raise AssertionError("it did not begin")
