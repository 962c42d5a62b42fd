"""A chain: steps of pure tools in one commit, which leaves what as many commits would leave, or nothing at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.core.after import after
from service.core.errors import Unavailable
from service.core.moves import Failed, Succeeded
from service.core.next_move import next_move
from service.core.run import Run, Transition
from service.core.validation import read_graph
from service.store.database.protocol import Database
from service.store.database.writing import writer as writing
from service.store.database.writing.queued_write import DEFER_S
from tests.support.store.breaking import breaks, committed_but_failed
from tests.support.store.harness import (
    BYTES_MAX,
    COUNTER,
    Clock,
    chain_of,
    claim_one,
    clean,
    commit,
    commit_chain,
    dump,
    failure,
    gathering,
    moved,
    opened,
    said,
    start,
    started,
    success,
    successes,
    until_async,
)
from tests.support.store.losing import Situation, completed, failed, one_step_further, released, taken_over

STEADY = read_graph(
    {
        "start_node": "a",
        "nodes": {
            "a": {"tool": "add", "max_visits": 7},
            "b": {"tool": "add", "retry": {"max_attempts": 2, "backoff_s": 0}},
        },
        "edges": {"a": ["b", {"to": "b", "on_error": True, "into": "why"}], "b": "a"},
    },
    ["add"],
)
"""Counts visits, catches errors and retries."""


@pytest.fixture
def database(emptied: Database) -> Database:
    return emptied


def moves_of(run: Run, ways: str) -> list[Transition]:
    """The transitions of tools that succeed (`.`) or fail (`!`)."""
    made: list[Transition] = []
    for number, way in enumerate(ways, 1):
        move = next_move(run)
        assert move is not None
        succeeded = Succeeded(run.state.changes_to({"n": number, f"k{number % 3}": "x"}, {}, BYTES_MAX))
        made.append(after(run, move, succeeded if way == "." else Failed("tool_error", "boom"), BYTES_MAX))
        run = made[-1].run
    return made


@pytest.mark.parametrize("ways", [".", ".....", "!.!..", "...!", ".............", "." * 70])
async def test_a_chain_leaves_what_single_commits_leave(database: Database, ways: str) -> None:
    left, graph = [], COUNTER if len(ways) > 50 else STEADY
    for is_chain in (False, True):
        clean(database)
        async with opened(database, Clock()) as store:
            claimed = await started(store, graph=graph)
            made = moves_of(claimed.run, ways)
            if is_chain:
                assert await commit_chain(store, claimed.lease, made, said("said")) == made[-1].run
            else:
                for transition in made:
                    await commit(store, claimed.lease, transition, said("said"), at=1e12)
            if made[-1].run.status == "running":
                [left_to_do] = [await commit(store, claimed.lease, success(made[-1].run, n=1000), at=1e12)]
                assert left_to_do.step == len(ways) + 1
            left.append(dump(database))
    assert left[0] == left[1]


@pytest.mark.parametrize("situation", [taken_over, released, completed, failed, one_step_further])
async def test_a_chain_after_the_lease_is_lost_writes_nothing(database: Database, situation: Situation) -> None:
    clock = Clock()
    async with opened(database, clock) as store:
        claimed = await started(store)
        made = successes(claimed.run._replace(step=1), {"n": 2}, {"n": 3}, {"n": 4})
        await situation(store, claimed, clock)
        before = dump(database)
        assert await commit_chain(store, claimed.lease, made, said("late")) is None
        assert dump(database) == before


async def test_a_part_of_a_chain_is_never_taken_for_the_whole(database: Database) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        made = successes(claimed.run, {"n": 1}, {"n": 2}, {"n": 3})
        assert await commit_chain(store, claimed.lease, made[:2]) == made[1].run
        before = dump(database)
        assert await commit_chain(store, claimed.lease, made) is None
        assert await commit_chain(store, claimed.lease, made[:1]) is None
        assert await commit_chain(store, claimed.lease, made[:2]) == made[1].run
        assert dump(database) == before


async def test_a_pause_takes_effect_at_the_end_of_a_chain(database: Database) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        assert await store.control.pause("r") == "running"
        made = successes(claimed.run, {"n": 1}, {"n": 2})
        paused = await commit_chain(store, claimed.lease, made)
        assert paused is not None
        assert (paused.status, paused.step) == ("paused", 2)
        further = successes(made[-1].run, {"n": 3})
        assert await commit_chain(store, claimed.lease, further) is None
        record = await store.runs.get("r")
        assert (record.status, record.step, record.last_seq) == ("paused", 2, 4)


async def test_a_chain_of_unknown_outcome_is_repeated_as_it_was(database: Database) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        made = successes(claimed.run, {"n": 1}, {"n": 2}, {"n": 3})
        breaks(database, store, committed_but_failed)
        chain = chain_of(store, claimed.lease, made[:2])
        with pytest.raises(Unavailable):
            await chain.future
        assert not chain.add(moved(made[2]))
        store.steps.defer_again(chain)
        assert await chain.future == made[1].run
        assert (await store.runs.get("r")).last_seq == 3


async def test_a_chain_takes_steps_until_its_commit_and_waits_for_nobody(database: Database) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        first, second, third = successes(claimed.run, {"n": 1}, {"n": 2}, {"n": 3})
        with gathering(store):
            chain = chain_of(store, claimed.lease, [first])
            await asyncio.sleep(2 * DEFER_S)
            assert chain.add(moved(second))
        # Nobody hastens it: it is committed all the same.
        assert await chain.future == second.run
        assert not chain.add(moved(third))


async def test_chains_of_many_runs_share_a_transaction_up_to_its_bound(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "BATCH_MAX", 20)
    async with opened(database) as store:
        for number in range(10):
            await start(store, f"r{number}")
        claimed = await store.leases.claim(10)
        commits: list[Any] = []
        commit = store._writer._database.commit

        def counting(_: Database, *given: Any) -> bool:
            commits.append(given)
            return commit(*given)

        with gathering(store):
            monkeypatch.setattr(type(store._writer._database), "commit", counting)
            chains = [
                chain_of(store, each.lease, successes(each.run, *({"n": number} for number in range(1, 6))))
                for each in claimed
            ]
            await until_async(lambda: len(store._writer._waiting) == 10)
        assert [run and run.step for run in await asyncio.gather(*(chain.future for chain in chains))] == [5] * 10
        assert len(commits) == 1 + 3  # What it gathered behind, and fifty steps, of which twenty make a batch.


async def test_a_chain_that_fails_its_run_ends_it(database: Database) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        made = successes(claimed.run, {"n": 1}, {"n": 2})
        made.append(failure(made[-1].run))
        run = await commit_chain(store, claimed.lease, made)
        assert run is not None
        assert (run.status, run.step, run.state.to_object()) == ("failed", 2, {"n": 2})
        with pytest.raises(ValueError, match="not enough values"):
            await claim_one(store)
