"""Limits in the engine: when a slot is taken, when it is checked again, and what a run does without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.core.queueing.limits import Limit
from service.core.tool import JsonObject, Tool
from service.engine import slot
from service.store.commands.queueing import slots
from tests.support.engine.harness import Bench, loop_until, running

CALLED: list[str] = []


async def add(state: JsonObject) -> JsonObject:
    return {"n": state.get("n", 0) + 1}


async def note(context: Any) -> None:
    CALLED.append(context.run_id)


def note_on_a_thread(context: Any) -> None:
    CALLED.append(context.run_id)


def commits(bench: Bench) -> int:
    """Return how many transactions the store has committed."""
    return sum(bench.store._writer.batches.counts)


async def test_a_step_takes_its_slot_in_the_transaction_that_commits_the_one_before(tmp_path: Path) -> None:
    async with running(tmp_path, add) as bench:
        bench.tools["add"] = Tool.of(add, limit="few")
        await bench.store.limits.put("few", Limit(1))
        await bench.start("warm", loop_until(1), n=0)
        await bench.over("warm")
        before = commits(bench)
        await bench.start("r", loop_until(100), n=0)
        assert (await bench.over("r")).step == 100
        assert commits(bench) - before < 150
        assert (await bench.store.limits.get("few")).in_use == 0


async def test_a_node_names_the_limit_before_its_tool_does(tmp_path: Path) -> None:
    async with running(tmp_path, note) as bench:
        bench.tools["note"] = Tool.of(note, limit="tool")
        for name, limit in {"tool": Limit(1), "node": Limit(1, 1000)}.items():
            await bench.store.limits.put(name, limit)
        nodes: JsonObject = {"a": {"tool": "note", "limit": "node"}, "b": "note"}
        await bench.start("r", {"start_node": "a", "nodes": nodes, "edges": {"a": "b"}})
        await bench.over("r")
        assert [(each.name, each.in_use) for each in (await bench.store.limits.page(9)).items] == [
            ("node", 1),
            ("tool", 0),
        ]


async def test_an_attempt_that_begins_late_counts_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here every attempt is late. It counts once all the same, and so does not wait for the next period."""
    monkeypatch.setattr(slot, "FRESH_S", -1.0)
    CALLED.clear()
    async with running(tmp_path, note) as bench:
        await bench.store.limits.put("rate", Limit(1, 1000))
        await bench.start("late", {"start_node": "a", "nodes": {"a": {"tool": "note", "limit": "rate"}}})
        assert (await bench.over("late")).status == "completed"
        assert CALLED == ["late"]


@pytest.mark.parametrize("tool", ["note", "note_on_a_thread"])
async def test_an_attempt_that_begins_late_makes_sure_of_its_slot_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    """Here every attempt is so late that it needs a slot anew, and there is none left."""
    monkeypatch.setattr(slot, "FRESH_S", -1.0)
    monkeypatch.setattr(slots, "may_be_postponed", lambda *_: False)
    CALLED.clear()
    async with running(tmp_path, note, note_on_a_thread, threads=1) as bench:
        await bench.store.limits.put("rate", Limit(1, 1000))
        await bench.start("late", {"start_node": "a", "nodes": {"a": {"tool": tool, "limit": "rate"}}})
        while (run := await bench.store.runs.get("late")).status != "waiting":
            assert run.status in ("queued", "running")
        assert CALLED == []
        # The thread was given back, and the run goes on once the limit lets it.
        await bench.start("free", {"start_node": "a", "nodes": {"a": "note_on_a_thread"}})
        await bench.over("free")
        await bench.store.limits.delete("rate")
        assert (await bench.over("late")).status == "completed"
        assert CALLED == ["free", "late"]
