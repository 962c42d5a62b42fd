"""A server that dies before or after any call to the store: the next one goes on, and nothing shows."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from service.core.moves import CallTool
from service.core.run import Run
from service.core.tool import Tool
from service.engine import ahead
from service.engine.attempt import Attempts
from service.engine.isolation.pool import ProcessPool
from service.engine.runner import Runner
from service.engine.threads import Threads
from service.engine.tool_loop import ToolLoop
from service.store import Store
from service.store.database.transaction import BatchCommand
from service.store.rows.records import Claimed
from tests.support.engine.calls import COMMAND
from tests.support.engine.harness import STATE_BYTES_MAX, Bench, bench, let_no_step_fall_due, loop_until, pure

STEPS = 3


class Crash(BaseException):
    """The process is gone: nothing in it runs on."""


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def add(state: dict[str, Any]) -> None:
    state["n"] += 1


@contextmanager
def crash_at(store: Store, number: int, *, committed: bool) -> Iterator[None]:
    """Within, the store's `number`th write is the last thing that happens; whether it is committed, too."""
    writer = store._writer
    write, hasten, count = writer.write_with_others, store.steps.hasten, 0

    def is_last() -> bool:
        nonlocal count
        count += 1
        if count > number or (count == number and not committed):
            writer._waiting.clear()  # A chain that waits is lost with the process.
            raise Crash
        return count == number

    async def write_or_crash(command: BatchCommand[Any, Any], item: Any, **options: Any) -> Any:
        last = is_last()
        result = await write(command, item, **options)
        if last:
            raise Crash
        return result

    def hasten_or_crash(**options: Any) -> None:
        last = is_last()
        hasten(**options)
        if last:
            writer.submit(lambda _: None).result(60)  # The writer's thread has committed the chain before this.
            raise Crash

    with pytest.MonkeyPatch.context() as patched:  # The process dies here, not the store.
        let_no_step_fall_due(patched)  # No chain is committed but by `hasten`.
        patched.setattr(writer, "write_with_others", write_or_crash)
        patched.setattr(store.steps, "hasten", hasten_or_crash)
        yield


@contextmanager
def attempts_of(made: Bench) -> Iterator[Attempts]:
    isolation = ProcessPool(COMMAND, STATE_BYTES_MAX)
    tool_loop = ToolLoop(nullcontext)
    tool_loop.start()
    try:
        yield Attempts(made.tools, Threads(1), made.runs_folder, STATE_BYTES_MAX, isolation, tool_loop)
    finally:
        isolation.close()
        tool_loop.close()


async def carry_all(made: Bench) -> None:
    """What a server does with the runs that are due."""
    with attempts_of(made) as attempts:
        claimed: list[Claimed] = await made.store.leases.claim(10)
        for claim in claimed:
            await Runner(claim, made.store, attempts).carry()


async def dies(going_on: Callable[[], Awaitable[None]]) -> bool:
    try:
        await going_on()
    except Crash:
        return True
    return False


@pytest.mark.parametrize("committed", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, STEPS + 2))
async def test_a_crash_around_any_write_costs_no_step_and_doubles_none(
    tmp_path: Path, number: int, committed: bool
) -> None:
    async with bench(tmp_path, [add], clock=(clock := Clock())) as made:
        await made.start("r", loop_until(STEPS), n=0)
        await crash_and_go_on(made, clock, number, committed=committed)
        await assert_complete(made, STEPS)


PURE_STEPS = 7
"""In chains of three, the last of which the end of the run makes short."""


@pytest.mark.parametrize("committed", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, 5))
async def test_a_crash_around_any_commit_of_pure_steps_loses_only_what_nobody_was_told(
    tmp_path: Path, number: int, committed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "STEPS_MAX", 3)
    let_no_step_fall_due(monkeypatch)
    called: list[int] = []

    async def add(state: dict[str, Any], context: Any) -> None:
        assert context.step == state["n"] + 1, "its predecessor is lost"
        called.append(context.step)
        state["n"] += 1

    async with bench(tmp_path, [pure(add)], clock=(clock := Clock())) as made:
        await made.start("r", loop_until(PURE_STEPS), n=0)
        await crash_and_go_on(made, clock, number, committed=committed)
        await assert_complete(made, PURE_STEPS)
    chains = number - 1  # The first write is the claim.
    durable = min(3 * max(0, chains - 1 + committed), PURE_STEPS)
    assert called == [*range(1, min(3 * chains, PURE_STEPS) + 1), *range(durable + 1, PURE_STEPS + 1)]


async def crash_and_go_on(made: Bench, clock: Clock, number: int, *, committed: bool) -> None:
    with crash_at(made.store, number, committed=committed):
        assert await dies(lambda: carry_all(made))
    clock.now += timedelta(seconds=16)
    await carry_all(made)


async def assert_complete(made: Bench, steps_max: int) -> None:
    record = await made.store.runs.get("r")
    steps = (await made.store.history.page("r", 0, 100)).items
    lines, last_seq, over = await made.store.logs.page("r", 0, 100)
    assert (record.status, record.step, over) == ("completed", steps_max, True)
    assert [(step.step, step.set) for step in steps] == [(n, {"n": str(n)}) for n in range(1, steps_max + 1)]
    assert [line.seq for line in lines] == list(range(1, last_seq + 1))
    assert [line.event for line in lines].count("step_completed") == steps_max
    assert lines[-1].event == "run_completed"
    assert await made.state("r") == {"n": steps_max}


@pytest.mark.parametrize("is_pure", [False, True])
@pytest.mark.parametrize("tool", ["exits", "value_error", "place"])
async def test_a_step_that_kills_every_server_is_tried_once_more_where_it_can_kill_none(
    tmp_path: Path, tool: str, is_pure: bool
) -> None:
    attempts: list[int] = []

    async def deadly(context: Any) -> None:
        attempts.append(context.attempt)
        raise Crash

    deadly.__name__ = tool  # In the process of its own it is another.

    clock = Clock()
    async with bench(tmp_path, [Tool.of(deadly, pure=is_pure)], clock=clock) as made:
        await made.start("r", {"start_node": "a", "nodes": {"a": tool}})
        made.store.steps.commit = _dead  # type: ignore[assignment, method-assign]  # the process dies within the tool
        made.store.steps.defer = _dead_at_once  # type: ignore[assignment, method-assign]
        for _ in range(5):
            assert await dies(lambda: carry_all(made))
            clock.now += timedelta(seconds=16)
        del made.store.steps.commit, made.store.steps.defer
        await carry_all(made)
        assert attempts == [1, 2, 3, 4, 5]
        record = await made.store.runs.get("r")
    error = json.loads(record.error or "{}")
    expected = {
        # Only that process's own death counts.
        "exits": ("failed", "crash_loop", 6),
        "value_error": ("failed", "tool_error", 6),
        "place": ("completed", None, None),
    }
    assert (record.status, error.get("type"), error.get("attempt")) == expected[tool]


async def _dead(*_: Any, **__: Any) -> None:
    raise Crash


def _dead_at_once(*_: Any) -> None:
    raise Crash


async def test_pure_steps_before_a_deadly_one_do_not_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ahead of the disk the deadly step would be reached each time without a commit, and the first step be blamed."""
    let_no_step_fall_due(monkeypatch)  # The chain is committed by nothing but a barrier.
    called: list[int] = []

    async def add(state: dict[str, Any], context: Any) -> None:
        called.append(context.step)
        state["n"] += 1

    async def exits() -> None:
        raise AssertionError("its commit is where the process dies")

    nodes = {"a": "add", "b": "add", "c": "add", "d": "exits"}
    graph = {"start_node": "a", "nodes": nodes, "edges": {"a": "b", "b": "c", "c": "d"}}
    clock = Clock()
    async with bench(tmp_path, [pure(add), pure(exits)], clock=clock) as made:
        await made.start("r", graph, n=0)
        takeovers = 0
        with patch.object(Attempts, "attempt", _dying_of("exits", made.store)):
            while await dies(lambda: carry_all(made)):
                clock.now += timedelta(seconds=16)
                takeovers += 1
                assert takeovers < 20, "it goes on for ever"
        record = await made.store.runs.get("r")
    assert takeovers == 6  # One whose steps were lost, and five without a commit.
    assert (record.status, record.step, json.loads(record.error or "{}")["type"]) == ("failed", 3, "crash_loop")
    assert called == [1, 2, 3, 1, 2, 3]


def _dying_of(tool: str, store: Store) -> Callable[..., Any]:
    attempt = Attempts.attempt

    async def attempt_or_die(self: Attempts, run: Run, move: CallTool, *rest: Any, **carrier: Any) -> Any:
        if move.tool == tool and not move.isolate:
            await carrier["carrier"].begin()
            store._writer._waiting.clear()  # What was not committed is lost.
            raise Crash
        return await attempt(self, run, move, *rest, **carrier)

    return attempt_or_die


async def test_runs_that_only_waited_for_their_turn_are_no_suspects(tmp_path: Path) -> None:
    clock = Clock()
    async with bench(tmp_path, [add], clock=clock) as made:
        await made.start("r", loop_until(STEPS), n=0)
        for _ in range(8):
            assert len(await made.store.leases.claim(10)) == 1
            clock.now += timedelta(seconds=16)
        await carry_all(made)
        assert (await made.store.runs.get("r")).status == "completed"


async def test_a_runner_whose_lease_was_taken_writes_nothing(tmp_path: Path) -> None:
    clock = Clock()
    async with bench(tmp_path, [add], clock=clock) as made:
        await made.start("r", loop_until(STEPS), n=0)
        (late,) = await made.store.leases.claim(10)
        clock.now += timedelta(seconds=16)
        await carry_all(made)
        before = await made.store.logs.page("r", 0, 100)
        with attempts_of(made) as attempts, pytest.raises(Exception, match="no longer holds"):
            await Runner(late, made.store, attempts).carry()
        assert await made.store.logs.page("r", 0, 100) == before
