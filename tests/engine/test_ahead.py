"""Pure tools run ahead of the disk, and nobody outside can tell: a real engine on a real file."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from service.core.errors import Unavailable
from service.core.tool import Tool
from service.engine import ahead
from service.engine.attempt import Attempts
from service.engine.runner import Runner
from service.store.commands.steps import Chain
from service.store.database.writing.queued_write import QueuedWrite, WriteQueue
from tests.support.engine.harness import Bench, let_no_step_fall_due, loop_until, pure, running
from tests.support.store.harness import until

JsonObject = dict[str, Any]


async def add(state: JsonObject) -> None:
    state["n"] += 1


def steps_on_disk(folder: Path) -> tuple[int, int]:
    """How many steps the run has, and how many of them are stored, as another process reads it."""
    with closing(sqlite3.connect(folder / "rungraph.db")) as connection:
        return connection.execute(  # type: ignore[no-any-return]  # a row
            "SELECT step, (SELECT count(*) FROM snapshots WHERE run_id = runs.id) FROM runs"
        ).fetchone()


def ten_then(tool: JsonObject | str) -> JsonObject:
    """Ten pure steps and then `tool`, three times over."""
    edges: JsonObject = {
        "a": [{"to": "a", "condition": {"key": "n", "op": "not_in", "value": [10, 20, 30]}}, "b"],
        "b": {"to": "a", "condition": {"key": "n", "op": "<", "value": 30}},
    }
    return {"start_node": "a", "nodes": {"a": "add", "b": tool}, "edges": edges}


class Looking:
    """A tool that looks what of its run is on disk when it is called."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.seen: list[tuple[int, tuple[int, int]]] = []

    async def look(self, context: Any) -> None:
        self.seen.append((context.step - 1, steps_on_disk(self._folder)))

    @property
    def is_behind(self) -> bool:
        """Whether it was called on a state that was not on disk."""
        return any(disk != (step, step) for step, disk in self.seen)


def look_on(looking: Looking, *, is_pure: bool) -> Tool:
    async def look(context: Any) -> None:
        await looking.look(context)

    return Tool.of(look, pure=is_pure)


@pytest.mark.parametrize("node", ["look", {"tool": "look", "pure": False}, {"tool": "look", "timeout_s": 9}])
async def test_a_tool_that_is_not_pure_is_called_only_when_all_before_it_is_durable(
    tmp_path: Path, node: JsonObject | str
) -> None:
    looking = Looking(tmp_path)
    withdraws = isinstance(node, dict) and "pure" in node
    async with running(tmp_path, pure(add), look_on(looking, is_pure=withdraws)) as made:
        await made.start("r", ten_then(node), n=0)
        assert (await made.over("r")).step == 33
    assert [step for step, _ in looking.seen] == [10, 21, 32]
    assert not looking.is_behind


async def test_without_the_barrier_it_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant for the test above, and what the barrier costs a pure tool: nothing."""
    let_no_step_fall_due(monkeypatch)
    needs_of = Attempts.needs_of
    monkeypatch.setattr(Attempts, "needs_of", lambda *asked: needs_of(*asked)._replace(commits=False))
    looking = Looking(tmp_path)
    async with running(tmp_path, pure(add), look_on(looking, is_pure=False)) as made:
        await made.start("r", ten_then("look"), n=0)
        assert (await made.over("r")).step == 33
    assert looking.is_behind


@asynccontextmanager
async def counting_chains(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Counter[int]]:
    """How many chains of each length are committed."""
    lengths: Counter[int] = Counter()
    sealed = Chain.sealed

    def count(chain: Chain) -> Any:
        lengths[len(chain.moves)] += 1
        return sealed(chain)

    with monkeypatch.context() as patched:
        patched.setattr(Chain, "sealed", count)
        yield lengths


@pytest.mark.parametrize(("bound", "least", "most"), [("STEPS_MAX", 4, 4), ("BYTES_MAX", 5, 5), (None, 6, 20)])
async def test_steps_are_committed_together_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str | None, least: int, most: int
) -> None:
    """The longest chain is as long as the bound. A write of the supervisor's may have another one committed earlier."""
    let_no_step_fall_due(monkeypatch)
    if bound is not None:
        monkeypatch.setattr(ahead, bound, {"STEPS_MAX": 4, "BYTES_MAX": 320}[bound])

    async def grow(state: JsonObject) -> None:
        state |= {"n": state["n"] + 1, "text": f"{state['n']:050}"}

    async with counting_chains(monkeypatch) as counted, running(tmp_path, pure(grow)) as made:
        await made.start("r", loop_until(20, "grow"), n=0)
        assert (await made.over("r")).step == 20
    assert sum(length * count for length, count in counted.items()) == 20
    assert least <= max(counted) <= most


def waiting_async(go_on: threading.Event) -> Callable[..., Any]:
    async def wait(context: Any) -> None:
        context.log("waits")
        await asyncio.to_thread(go_on.wait, 60)

    return wait


def waiting_on_a_thread(go_on: threading.Event) -> Callable[..., Any]:
    def wait(context: Any) -> None:
        context.log("waits")
        assert go_on.wait(60)

    return wait


def blocking_the_loop(go_on: threading.Event) -> Callable[..., Any]:
    async def wait(context: Any) -> None:
        context.log("waits")
        assert go_on.wait(60)

    return wait


SLOW = {
    "start_node": "a",
    "nodes": {"a": "add", "wait": "wait", "c": "add"},
    "edges": {"a": [{"to": "a", "condition": {"key": "n", "op": "<", "value": 5}}, "wait"], "wait": "c"},
}
KINDS = [waiting_async, waiting_on_a_thread, blocking_the_loop]
Script = Callable[[Bench], Awaitable[None]]


async def while_it_waits(folder: Path, kind: Callable[..., Any], script: Script) -> None:
    """Do `script` while a pure tool is under way after five pure steps, which are on disk meanwhile."""
    go_on = threading.Event()
    async with running(folder, pure(add), pure(kind(go_on))) as made:
        try:
            await made.start("r", SLOW, n=0)
            await asyncio.to_thread(until, lambda: steps_on_disk(folder) == (5, 5))
            await script(made)
        finally:
            go_on.set()
        await made.over("r")


@pytest.mark.parametrize("kind", KINDS)
async def test_while_a_pure_tool_is_slow_all_before_it_is_durable_and_read(
    tmp_path: Path, kind: Callable[..., Any]
) -> None:
    async def read(made: Bench) -> None:
        async for lines in made.store.tails.lines("r", 0, gone=lambda _: False):
            if lines and lines[-1].message == "waits":
                break
        assert (await made.store.history.state_at("r", None))[1].to_object() == {"n": 5}

    await while_it_waits(tmp_path, kind, read)


@pytest.mark.parametrize("kind", [waiting_async, waiting_on_a_thread])
async def test_a_commit_that_the_database_refuses_is_tried_again_while_a_tool_is_slow(
    tmp_path: Path, kind: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[QueuedWrite[Any]] = []
    add_to_queue = WriteQueue.add

    def refuse_at_first(queue: WriteQueue, write: QueuedWrite[Any]) -> bool:
        if write.is_deferred and len(refused) < 3:
            refused.append(write)
            write.future.set_exception(Unavailable("the disk is full"))
            return False
        return add_to_queue(queue, write)

    async def nothing_more(_: Bench) -> None:
        assert len(refused) == 3

    monkeypatch.setattr(ahead, "RETRY_S", 0.001)
    monkeypatch.setattr(WriteQueue, "add", refuse_at_first)
    await while_it_waits(tmp_path, kind, nothing_more)
    assert steps_on_disk(tmp_path) == (7, 7)


@pytest.mark.parametrize("kind", [waiting_async, waiting_on_a_thread])
async def test_a_cancel_ends_a_run_that_is_ahead(tmp_path: Path, kind: Callable[..., Any]) -> None:
    async def cancel(made: Bench) -> None:
        await made.store.control.cancel("r")

    await while_it_waits(tmp_path, kind, cancel)
    assert steps_on_disk(tmp_path) == (5, 5)


def pausing_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let somebody pause the run while it makes that step."""
    asked = threading.Event()
    go_ahead = Runner._go_ahead

    async def pausing(self: Runner, *given: Any) -> Any:
        if self._run.step == step - 1 and not asked.is_set():
            asked.set()
            await self._store.control.pause("r")
        return await go_ahead(self, *given)

    monkeypatch.setattr(Runner, "_go_ahead", pausing)


async def test_a_pause_ends_the_pure_tool_that_was_called_before_it_took_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps are committed, and the run is paused, while the next tool is under way, of which nothing shows."""
    monkeypatch.setattr(ahead, "OVERDUE_S", 3600.0)
    monkeypatch.setattr("service.store.database.writing.queued_write.OVERDUE_S", 3600.0)
    monkeypatch.setattr("service.store.database.writing.queued_write.DEFER_S", 0.5)
    pausing_at(monkeypatch, 1)
    called, ended = threading.Event(), threading.Event()

    async def wait(context: Any) -> None:
        context.log("nobody reads this")
        called.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with running(tmp_path, pure(add), pure(wait)) as made:
        await made.start("r", SLOW, n=0)
        await _rests(made)
        assert await asyncio.to_thread(ended.wait, 60) or not called.is_set()
        step, stored = steps_on_disk(tmp_path)
        lines = (await made.store.logs.page("r", 0, 100))[0]
    assert step == stored <= 5
    assert [line.event for line in lines] == ["run_started", *["step_completed"] * step, "run_paused"]


async def test_a_run_that_is_paused_by_its_chain_goes_on_where_that_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pausing_at(monkeypatch, 3)
    async with running(tmp_path, pure(add)) as made:
        await made.start("r", loop_until(500), n=0)
        await _rests(made)
        step, stored = steps_on_disk(tmp_path)
        assert step == stored < 500
        await made.store.control.resume("r")
        record = await made.over("r")
        assert (record.status, record.step) == ("completed", 500)
        lines = await made.lines("r")
    assert [line.event for line in lines].count("step_completed") == 500
    assert [line.seq for line in lines] == list(range(1, record.last_seq + 1))


MIXED: JsonObject = {
    "start_node": "a",
    "max_steps": 40,
    "nodes": {
        "a": {"tool": "work", "max_visits": 9},
        "b": {"tool": "work", "retry": {"max_attempts": 2, "backoff_s": 0}},
        "c": "work",
        "nap": {"sleep": 0.001},
    },
    "edges": {
        "a": [{"to": "b", "condition": {"key": "n", "op": "<", "value": 9}}, {"to": "c", "on_error": True}, "nap"],
        "b": ["c", {"to": "a", "on_error": ["invalid_state"], "into": "why"}],
        "c": [{"to": "b", "condition": {"key": "odd", "op": "==", "value": True}}, "a"],
        "nap": "a",
    },
}


@pytest.mark.parametrize("seed", range(6))
async def test_a_run_that_gets_ahead_leaves_what_it_leaves_otherwise(tmp_path: Path, seed: int) -> None:
    """Retries, caught errors, states that are none, conditions that fail, limits, waits, lines: all are the same."""

    async def work(state: JsonObject, context: Any) -> Any:
        number = context.step * 7919 + context.attempt * 104729 + seed
        context.log("works", number=number)
        if number % 11 == 3:
            raise ValueError("boom")
        if number % 13 == 5:
            return {"bad": {1, 2}}
        if number % 97 == 7:
            del state["odd"]
        return {"n": state["n"] + 1, "odd": bool(number % 2), f"k{number % 3}": number}

    left = []
    for is_pure in (False, True):
        folder = tmp_path / str(is_pure)
        folder.mkdir()
        async with running(folder, Tool.of(work, pure=is_pure)) as made:
            await made.start("r", MIXED, n=0, odd=False)
            await _rests(made)
            record, state, lines = await made.store.runs.whole("r", 0, 1000)
            steps = (await made.store.history.page("r", 0, 100)).items
            assert all(step.started_at <= step.finished_at for step in steps)
            left.append([*timeless([record, *lines, *steps]), state.to_text()])
    assert left[0] == left[1]


TIMES = {"ts", "created_at", "started_at", "finished_at", "duration_ms"}


def timeless(records: Sequence[Any]) -> list[Any]:
    """Records without their times, and those of the attempts in them."""
    found = [{key: value for key, value in asdict(each).items() if key not in TIMES} for each in records]
    for each in found:
        each["attempts"] = [(tried["attempt"], tried["error"]) for tried in each.get("attempts", ())]
    return found


async def _rests(made: Bench) -> None:
    with made.store.events.subscribe("r") as woken:
        while (await made.store.runs.get("r")).status not in ("completed", "failed", "paused"):
            async with asyncio.timeout(60):
                await woken.wait()
            woken.clear()
