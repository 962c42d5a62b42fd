"""Claims, renewals and shares on PostgreSQL pass over what somebody else has locked."""

from __future__ import annotations

import asyncio

import pytest

from service.store import Store
from service.store.commands.leases.claim import LOCKED_S
from service.store.commands.servers import FORGET_S
from service.store.database.protocol import Database
from service.store.rows.records import Lease
from tests.support.store.carrying import LEAF, NAP, begun, fan, parked, queue, single
from tests.support.store.control.commands import FIRST
from tests.support.store.harness import (
    LEASE_S,
    Clock,
    claim_one,
    clean,
    commit,
    opened,
    start,
    success,
)
from tests.support.store.locking import OTHER, locking, row, whole

COUNTING = single({"tool": "add", "max_visits": 5}, edges={"a": "a"}, name="counting")


@pytest.fixture
def database(kept: Database) -> Database:
    clean(kept)
    return kept


async def test_a_claim_passes_over_runs_that_somebody_has_locked(database: Database) -> None:
    async with opened(database, Clock()) as store:
        for name in ("locked", "free"):
            await start(store, name)
        async with locking(database, row("locked")):
            assert [claimed.run.id for claimed in await store.leases.claim(10)] == ["free"]
        assert [claimed.run.id for claimed in await store.leases.claim(10)] == ["locked"]


BELONGS = (
    "SELECT FROM attempts FOR UPDATE",
    "SELECT FROM log_lines FOR UPDATE",
    "SELECT FROM waits FOR UPDATE",
    "SELECT FROM visits FOR UPDATE",
    "SELECT FROM graphs FOR UPDATE",
    "SELECT FROM changes FOR UPDATE",
    f"UPDATE runs SET tags = tags WHERE id = '{FIRST}'",
    "INSERT INTO attempts VALUES ('crashed', 1, 1, '{}', now(), now())",
    "INSERT INTO log_lines (run_id, seq, ts, level, event, message, data)"
    " SELECT id, last_seq + 1, now(), 'info', 'log', '', '{}' FROM runs WHERE id = 'crashed'",
)
"""Rows that a claim reads or writes beside those of the runs."""


async def all_kinds_due(store: Store, clock: Clock) -> None:
    """Runs that were left in an attempt, have waited, or count their visits; a parent, and its child."""
    await begun(store, "crashed", OTHER)
    await parked(store, "waited", NAP)
    await parked(store, "p", fan(), LEAF, items=[1])
    await queue(store, "counts", COUNTING, n=0)
    clock.advance(2 * LEASE_S)


@pytest.mark.parametrize("lock", BELONGS)
async def test_a_claim_is_not_held_up_by_rows_that_belong_to_runs(database: Database, lock: str) -> None:
    clock = Clock()
    async with opened(database, clock) as store:
        await all_kinds_due(store, clock)
        async with locking(database, lock):
            found = {claimed.run.id for claimed in await store.leases.claim(10)}
            # Whoever writes what belongs to a run locks its row with that, by the foreign key.
            assert {"crashed", "waited", "counts", FIRST} - found <= {"crashed", FIRST}
            assert len(found) >= 3
        found |= {claimed.run.id for claimed in await store.leases.claim(10)}
        assert found == {"crashed", "waited", "counts", FIRST}


@pytest.mark.parametrize(
    ("lock", "held_up"),
    [
        (whole("attempts", "SHARE"), {"crashed"}),
        (whole("visits"), {"counts"}),
        (whole("waits"), {"crashed", "waited"}),
        (whole("signals"), set()),
        (whole("run_tags"), set()),
        (whole("idempotency_keys"), set()),
        (whole("servers"), set()),
    ],
)
async def test_a_claim_takes_the_runs_that_do_not_need_a_locked_table(
    database: Database, lock: str, held_up: set[str]
) -> None:
    clock = Clock()
    async with opened(database, clock) as store:
        await all_kinds_due(store, clock)
        everything = {"crashed", "waited", "counts", FIRST}
        async with locking(database, lock):
            for _ in range(2):
                # As a supervisor does: which of the two comes first must not matter.
                assert await store.servers.share(10, 0) == 10
            assert {claimed.run.id for claimed in await store.leases.claim(10)} == everything - held_up
            assert await store.leases.claim(10) == []
        clock.advance(LOCKED_S)
        assert {claimed.run.id for claimed in await store.leases.claim(10)} == held_up


async def test_a_renewal_passes_over_a_locked_run_and_does_not_take_it_for_lost(database: Database) -> None:
    clock = Clock()
    async with opened(database, clock) as store, opened(database, clock, "two") as another:
        held = {name: await begun(store, name, OTHER) for name in ("locked", "free", "lost")}
        await store.control.cancel("lost")
        leases = [claimed.lease for claimed in held.values()]
        async with locking(database, row("locked")):
            for _ in range(4):
                clock.advance(LEASE_S / 2)
                assert await asyncio.wrap_future(store.leases.renew(leases)) == [held["lost"].lease]
            # Its term is over, and yet nobody can take it over; those of the others are not.
            assert await another.leases.claim(10) == []
        assert await asyncio.wrap_future(store.leases.renew(leases)) == [held["lost"].lease]
        assert await another.leases.claim(10) == []
        run = await commit(store, held["locked"].lease, success(held["locked"].run, n=1))
        assert run.step == 1


async def test_a_run_whose_server_lives_is_taken_over_only_when_it_is_not_renewed_for_longer(
    database: Database,
) -> None:
    """A claim may come first when the lock has gone, and would discard a step that waits to be committed."""

    clock = Clock()
    async with opened(database, clock) as store, opened(database, clock, "two") as another:
        claimed = await begun(store, "r", OTHER)
        for _ in range(2):
            async with locking(database, row("r")):
                clock.advance(3 * LEASE_S)
                assert await another.leases.claim(10) == []
            clock.advance(1)
            await asyncio.wrap_future(store.leases.renew([]))
            assert await another.leases.claim(10) == []
            clock.advance(LEASE_S / 3)
            assert await another.leases.claim(10) == []
            assert await asyncio.wrap_future(store.leases.renew([claimed.lease])) == []
        run = await commit(store, claimed.lease, success(claimed.run, n=1))
        assert run.step == 1
        # Its server has dropped it, for whatever reason, while it was locked.
        clock.advance(2 * LEASE_S)
        async with locking(database, row("r")):
            assert await another.leases.claim(10) == []
        clock.advance(1)
        await asyncio.wrap_future(store.leases.renew([]))
        assert await another.leases.claim(10) == []
        clock.advance(LEASE_S / 2)
        await asyncio.wrap_future(store.leases.renew([]))
        assert (await claim_one(another)).lease == Lease("r", 2)
        # And now this one has died.
        await asyncio.wrap_future(another.leases.renew([Lease("r", 2)]))
        clock.advance(LEASE_S)
        assert (await claim_one(store)).lease == Lease("r", 3)


async def test_a_locked_row_of_a_server_holds_up_no_renewal_share_or_probe(database: Database) -> None:
    clock = Clock()
    async with opened(database, clock) as store, opened(database, clock, "two") as another:
        await another.servers.join()
        await store.servers.join()
        mine = await begun(store, "r", OTHER)
        async with locking(database, "SELECT FROM servers FOR UPDATE"):
            for active in range(1, 5):
                clock.advance(LEASE_S / 2)
                assert await store.servers.share(10, active) <= 10
                assert await asyncio.wrap_future(store.leases.renew([mine.lease])) == []
            clock.advance(2 * FORGET_S)
            async with opened(database, clock, "three") as third:
                await third.servers.join()  # Which forgets those that are gone, but for the locked ones.
            await store.servers.probe(within_s=20)
