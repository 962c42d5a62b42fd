"""A transition happens once: whoever has lost the lease writes nothing, whoever repeats a commit changes nothing."""

from __future__ import annotations

import asyncio

import pytest

from service.core.errors import LeaseLost
from service.core.transitions import Status
from service.store.database.protocol import Database
from service.store.rows.records import Lease
from tests.support.store.harness import Clock, claim_one, commit, dump, failure, opened, said, started, success, walk
from tests.support.store.losing import Situation, completed, failed, one_step_further, released, taken_over

KINDS = ("success", "end", "failure")
# A commit like the one that took place is that commit repeated: another test's.
REPEATED = ((failed, "failure"), (one_step_further, "success"), (completed, "end"))
LOST = [
    (situation, kind)
    for situation in (taken_over, released, completed, failed, one_step_further)
    for kind in KINDS
    if (situation, kind) not in REPEATED
]


@pytest.mark.parametrize(("situation", "kind"), LOST)
async def test_a_commit_after_the_lease_is_lost_writes_nothing(
    database: Database, clock: Clock, situation: Situation, kind: str
) -> None:
    async with opened(database, clock) as store:
        claimed = await started(store)
        stale = claimed.run._replace(step=1)
        transition = failure(stale) if kind == "failure" else success(stale, n=5 if kind == "success" else 1000)
        await situation(store, claimed, clock)
        before = dump(database)
        with pytest.raises(LeaseLost):
            await commit(store, claimed.lease, transition, said("late"))
        assert dump(database) == before


@pytest.mark.parametrize(
    ("lease", "step"),
    [(Lease("r", 2), 0), (Lease("r", 0), 0), (Lease("other", 1), 0), (Lease("r", 1), 1), (Lease("r", 1), 7)],
)
async def test_a_wrong_token_run_or_step_writes_nothing(database: Database, lease: Lease, step: int) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        before = dump(database)
        for transition in (success(claimed.run._replace(step=step), n=1), failure(claimed.run._replace(step=step))):
            with pytest.raises(LeaseLost):
                await commit(store, lease, transition, said("lost"))
        assert dump(database) == before


async def test_every_command_of_a_lost_lease_writes_nothing(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        lost = (await started(store)).lease
        clock.advance(60)
        held = (await claim_one(store)).lease
        assert held.token == lost.token + 1
        await asyncio.wrap_future(store.leases.renew([lost]))
        before = dump(database)
        assert await asyncio.wrap_future(store.logs.append(lost, said("late"))) is False
        assert await store.leases.begin(lost) is False
        await store.leases.release(lost, interrupted=True)
        await store.leases.release(lost, interrupted=False)
        assert await asyncio.wrap_future(store.leases.renew([lost])) == [lost]
        assert dump(database) == before


@pytest.mark.parametrize("kind", ["success", "end", "failure", "max_steps"])
async def test_repeating_a_commit_whose_outcome_was_unknown_changes_nothing(database: Database, kind: str) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        run = claimed.run
        if kind == "max_steps":
            run = run._replace(graph=run.graph.model_copy(update={"max_steps": 1}))
        transition = failure(run) if kind == "failure" else success(run, n=1000 if kind == "end" else 1)
        first = await commit(store, claimed.lease, transition, said("once"))
        before = dump(database)
        assert await commit(store, claimed.lease, transition, said("once")) == first
        assert dump(database) == before


async def test_a_commit_and_its_repetition_in_one_batch_are_one_commit(database: Database) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        transition = success(claimed.run, n=1)
        await asyncio.gather(*(commit(store, claimed.lease, transition) for _ in range(5)))
        record, state, lines = await store.runs.whole("r", 0, 100)
        assert (record.step, state.to_text()) == (1, '{"n":1}')
        assert [line.seq for line in lines] == [1, 2]


async def test_a_failed_run_keeps_its_last_good_state_and_shows_why(database: Database) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        run = await walk(store, claimed, [{"n": 1, "x": [1.0]}])
        await commit(store, claimed.lease, failure(run))
        record, state, lines = await store.runs.whole("r", 0, 100)
        assert (record.status, record.step, record.current_node) == (Status.FAILED, 1, "a")
        assert record.error == '{"type":"tool_error","message":"boom","node":"a","step":2,"attempt":1}'
        assert record.finished_at is not None
        assert state.to_text() == '{"n":1,"x":[1.0]}'
        assert lines[-1].event == "run_failed"
