"""A server that dies before or after any call to the store: the next one goes on, and nothing shows."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.engine.attempt import Attempts
from service.engine.isolation.pool import ProcessPool
from service.engine.runner import Runner
from service.engine.threads import Threads
from service.store import Store
from service.store.database.transaction import BatchCommand
from service.store.rows.records import Claimed
from tests.support.engine.calls import COMMAND
from tests.support.engine.harness import STATE_BYTES_MAX, Bench, bench, loop_until

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


def crash_at(store: Store, number: int, *, committed: bool) -> None:
    """From now on, the store's `number`th write is the last thing that happens; whether it is committed, too."""
    writer = store._writer
    write, count = writer.write_with_others, 0

    async def counting(command: BatchCommand[Any, Any], item: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count < number:
            return await write(command, item, **options)
        if count == number and committed:
            await write(command, item, **options)
        raise Crash

    writer.write_with_others = counting  # type: ignore[method-assign]  # the process dies here, not the store


@contextmanager
def attempts_of(made: Bench) -> Iterator[Attempts]:
    isolation = ProcessPool(COMMAND, STATE_BYTES_MAX)
    try:
        yield Attempts(made.tools, Threads(1), made.runs_folder, STATE_BYTES_MAX, isolation)
    finally:
        isolation.close()


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
    clock = Clock()
    async with bench(tmp_path, [add], clock=clock) as made:
        await made.start("r", loop_until(STEPS), n=0)
        write = made.store._writer.write_with_others
        crash_at(made.store, number, committed=committed)
        assert await dies(lambda: carry_all(made))
        made.store._writer.write_with_others = write  # type: ignore[method-assign]  # the next process
        clock.now += timedelta(seconds=16)
        await carry_all(made)

        record = await made.store.runs.get("r")
        steps = (await made.store.history.page("r", 0, 100)).items
        lines, last_seq, over = await made.store.logs.page("r", 0, 100)
        assert (record.status, record.step, over) == ("completed", STEPS, True)
        assert [(step.step, step.set) for step in steps] == [(n, {"n": str(n)}) for n in range(1, STEPS + 1)]
        assert [line.seq for line in lines] == list(range(1, last_seq + 1))
        assert [line.event for line in lines].count("step_completed") == STEPS
        assert lines[-1].event == "run_completed"
        assert await made.state("r") == {"n": STEPS}


@pytest.mark.parametrize("tool", ["exits", "value_error", "place"])
async def test_a_step_that_kills_every_server_is_tried_once_more_where_it_can_kill_none(
    tmp_path: Path, tool: str
) -> None:
    attempts: list[int] = []

    async def deadly(context: Any) -> None:
        attempts.append(context.attempt)
        raise Crash

    deadly.__name__ = tool  # In the process of its own it is another.

    clock = Clock()
    async with bench(tmp_path, [deadly], clock=clock) as made:
        await made.start("r", {"start_node": "a", "nodes": {"a": tool}})
        made.store.steps.commit = _dead  # type: ignore[assignment, method-assign]  # the process dies within the tool
        for _ in range(5):
            assert await dies(lambda: carry_all(made))
            clock.now += timedelta(seconds=16)
        del made.store.steps.commit
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
