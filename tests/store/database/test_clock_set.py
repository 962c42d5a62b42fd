"""A clock that is set by an hour, back or ahead: what is due stays due, and waits last as long as they were to."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from service.core.transitions import Status
from service.store import Store
from service.store.database.clock import iso
from service.store.database.protocol import Database
from tests.support.store.carrying import (
    AGAIN,
    BOOM,
    HASTY,
    NAP,
    begun,
    carry,
    claim,
    due,
    graph,
    parked,
    queue,
    rest,
    run_of,
)
from tests.support.store.harness import (
    COUNTER,
    LEASE_S,
    SettableClock,
    ask,
    claim_one,
    commit,
    opened,
    sql,
    start,
    start_of,
    started,
    success,
    until_async,
)

HOUR = 3600.0
UNTIL = graph({"start_node": "a", "nodes": {"a": {"sleep": {"until": "t"}}}})
UNTIL_HASTY = graph({"start_node": "a", "nodes": {"a": {"sleep": {"until": "t"}, "timeout_s": 100}}})


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


async def passes(store: Store, clock: SettableClock, seconds: float) -> list[str]:
    """So much time, second by second; which runs could be claimed by its end, and none before."""
    for _ in range(round(seconds)):
        assert await due(store) == []
        clock.advance(1)
    return await due(store)


# Back.


async def test_queued_runs_are_claimed_after_the_clock_was_set_back(database: Database, clock: SettableClock) -> None:
    async with opened(database, clock) as store:
        for name in "abcd":
            await start(store, name)
        assert len(await store.leases.claim(1)) == 1
        clock.set_by(-HOUR)
        await start(store, "e")
        assert sorted(await due(store)) == ["b", "c", "d", "e"]
        assert run_of(database, "e", "created_at") >= run_of(database, "a", "created_at")


async def test_waits_last_as_long_as_they_were_to_after_the_clock_was_set_back(
    database: Database, clock: SettableClock
) -> None:
    async with opened(database, clock) as store:
        await parked(store, "sleeps", NAP)
        failing = await begun(store, "backs off", AGAIN)
        await carry(store, failing, BOOM)
        clock.set_by(-HOUR)
        # By a tenth longer, while the clock is behind.
        assert sorted(await passes(store, clock, 12)) == ["backs off", "sleeps"]
        await parked(store, "later", NAP)
        assert await passes(store, clock, 12) == ["later"]


async def test_a_signal_times_out_in_time_after_the_clock_was_set_back(
    database: Database, clock: SettableClock
) -> None:
    async with opened(database, clock) as store:
        await parked(store, "r", HASTY)
        clock.set_by(-HOUR)
        assert await passes(store, clock, 67) == ["r"]


async def test_no_duration_is_negative_and_no_time_before_another_after_the_clock_was_set_back(
    database: Database, clock: SettableClock
) -> None:
    async with opened(database, clock) as store:
        await parked(store, "r", NAP)
        counting = await started(store, "s")
        run = await commit(store, counting.lease, success(counting.run, n=1))
        clock.set_by(-HOUR)
        clock.advance(12)
        await commit(store, counting.lease, success(run, n=1000))
        assert (await rest(store, await claim(store, "r"))).status is Status.COMPLETED
        [step] = (await store.history.page("r", 0, 10)).items
        assert 10_000 <= step.duration_ms <= 12_000
        assert step.started_at < step.finished_at
        for name in "rs":
            lines, _, _ = await store.logs.page(name, 0, 10)
            assert [line.ts for line in lines] == sorted(line.ts for line in lines)
    assert ask(database, "SELECT run_id FROM v_steps WHERE duration_ms < 0 OR finished_at < started_at") == []
    assert ask(database, "SELECT run_id FROM v_runs WHERE duration_s < 0 OR finished_at < created_at") == []


def test_the_views_tell_of_no_negative_duration_that_an_older_version_has_stored(
    database: Database, clock: SettableClock
) -> None:
    async def scenario() -> None:
        async with opened(database, clock) as store:
            claimed = await started(store)
            await commit(store, claimed.lease, success(claimed.run, n=1000))
            await start(store, "queued")

    asyncio.run(scenario())
    with sql(database) as session:
        session.execute("UPDATE snapshots SET duration_ms = -3600000")
        session.execute("UPDATE runs SET started_at = '2099-01-01T00:00:00.000Z' WHERE id = 'r'")
    assert ask(database, "SELECT duration_ms FROM v_steps") == [(0.0,)]
    rows = dict(ask(database, "SELECT run_id, duration_s FROM v_runs"))
    assert (float(rows["r"]), rows["queued"]) == (0.0, None)

    async def read() -> None:
        async with opened(database, clock) as store:
            assert [step.duration_ms for step in (await store.history.page("r", 0, 10)).items] == [0.0]

    asyncio.run(read())


def test_a_start_on_a_clock_that_was_set_back_goes_on_with_what_is_due(
    database: Database, clock: SettableClock
) -> None:
    async def before() -> None:
        async with opened(database, clock, server_id="before") as store:
            await store.servers.join()
            for name in "ab":
                await start(store, name)
            await parked(store, "sleeps", NAP)
            await store.leases.claim(1)

    async def after() -> None:
        async with opened(database, clock, server_id="after") as store:
            await (store.servers.join() if store.is_shared else store.leases.seize())
            found = await due(store)
            assert ("b" in found, "sleeps" in found) == (True, False)
            if store.is_shared:  # The lease of the one that is gone.
                assert found == ["b"]
            for _ in range(18):
                clock.advance(1)
                found += await due(store)
            assert set(found) == {"a", "b", "sleeps"}

    asyncio.run(before())
    clock.set_by(-HOUR)
    asyncio.run(after())


async def test_a_clock_that_is_set_right_again_changes_nothing(database: Database, clock: SettableClock) -> None:
    async with opened(database, clock) as store:
        await start(store, "r")
        await parked(store, "s", NAP)
        assert await due(store) == ["r"]
        clock.set_by(-HOUR)
        clock.advance(1)
        await store.servers.probe(within_s=60)
        clock.set_by(HOUR)
        assert await due(store) == []
        assert await passes(store, clock, 9) == ["s"]
        assert run_of(database, "s", "moved_at")[0] <= iso(clock())


async def test_the_time_that_is_ahead_of_the_clock_comes_back_to_it(database: Database, clock: SettableClock) -> None:
    async with opened(database, clock) as store:
        await start(store, "before")
        clock.set_by(-60)
        for _ in range(700):
            clock.advance(1)
            await store.servers.probe(within_s=60)
        await start(store, "after")
        assert run_of(database, "after", "created_at") == (iso(clock()),)


async def test_a_run_sleeps_until_the_clock_shows_its_moment_however_it_was_set(
    database: Database, clock: SettableClock
) -> None:
    async with opened(database, clock) as store:
        moment = iso(clock() + timedelta(seconds=600))
        await parked(store, "r", UNTIL, t=moment)
        clock.advance(300)
        clock.set_by(-HOUR)

        async def looks() -> Status:
            """It is looked at now and then, and parked again while the clock says that it is too early."""
            for claimed in await store.leases.claim(10):
                return (await rest(store, claimed)).status
            return Status.WAITING

        for _ in range(40):
            clock.advance(30)
            assert await looks() is Status.WAITING
        clock.set_by(HOUR)
        clock.advance(31)
        assert await looks() is Status.COMPLETED
        assert iso(clock()) > moment
        events = ask(database, "SELECT event FROM log_lines WHERE run_id = 'r' ORDER BY seq")
        assert [event for (event,) in events].count("run_waiting") == 1


async def test_a_sleep_until_a_moment_is_cut_short_in_time_however_the_clock_was_set(
    database: Database, clock: SettableClock
) -> None:
    async def scenario() -> None:
        async with opened(database, clock) as store:
            await parked(store, "r", UNTIL_HASTY, t=iso(clock() + timedelta(seconds=60)))
            clock.set_by(-HOUR)
            looked = 0
            for _ in range(150):
                clock.advance(1)
                for claimed in await store.leases.claim(10):
                    looked += 1
                    run = await rest(store, claimed)
                    if run.status is Status.FAILED:
                        [(error,)] = ask(database, "SELECT error FROM runs")
                        assert "timeout" in error
                        assert 100 <= clock.passed <= 115
                        assert looked > 1
                        return
            raise AssertionError("it was never cut short")

    await scenario()


# Ahead.


async def test_what_the_clock_says_is_due_is_due_when_it_was_set_ahead(
    database: Database, clock: SettableClock
) -> None:
    async with opened(database, clock) as store:
        await parked(store, "s", NAP)
        await queue(store, "q", COUNTER, n=0)
        clock.set_by(HOUR)
        assert sorted(await due(store)) == ["q", "s"]


async def test_leases_of_servers_that_live_survive_a_clock_that_is_set_ahead(server_database: Database) -> None:
    clocks = [SettableClock(), SettableClock()]

    async with opened(server_database, clocks[0]) as one, opened(server_database, clocks[1], "two") as two:
        for each in (one, two):
            await each.servers.join()
        mine = await started(one)
        for clock in clocks:
            clock.set_by(HOUR)
        assert await due(two) == []
        assert await asyncio.wrap_future(one.leases.renew([mine.lease])) == []
        for clock in clocks:
            clock.advance(LEASE_S - 1)
        assert await due(two) == []
        assert (await commit(one, mine.lease, success(mine.run, n=1))).step == 1


async def test_leases_of_servers_that_are_gone_are_taken_over_after_a_clock_was_set_ahead(
    server_database: Database,
) -> None:
    clock = SettableClock()

    async with opened(server_database, clock) as store:
        await started(store)
    async with opened(server_database, clock, "two") as two:
        await two.servers.join()
        clock.set_by(HOUR)
        assert await passes(two, clock, LEASE_S) == ["r"]


async def test_a_server_that_starts_on_a_clock_that_was_set_back_keeps_up_with_the_others(
    server_database: Database,
) -> None:
    old, new = SettableClock(), SettableClock()

    async with opened(server_database, old) as one:
        await one.servers.join()
        mine = await started(one)
        for clock in (old, new):
            clock.set_by(-HOUR)
        old.advance(5)
        new.advance(5)
        await asyncio.wrap_future(one.leases.renew([mine.lease]))
        async with opened(server_database, new, "two") as two:
            await two.servers.join()
            for _ in range(60):
                for clock in (old, new):
                    clock.advance(1)
                await asyncio.wrap_future(one.leases.renew([mine.lease]))
                await two.servers.share(10, 0)
                assert await due(two) == []
            await start(two, "s")
            assert [claimed.run.id for claimed in await one.leases.claim(1)] == ["s"]


@pytest.mark.parametrize("table", ["servers", "runs", "waits"])
def test_a_start_on_a_clock_that_was_set_back_while_a_table_is_locked_goes_on_from_what_is_stored(
    server_database: Database, clock: SettableClock, table: str
) -> None:
    async def before() -> None:
        async with opened(server_database, clock, server_id="before") as store:
            await store.servers.join()
            await parked(store, "sleeps", NAP)

    async def after() -> None:
        async with opened(server_database, clock, server_id="after") as store:
            with sql(server_database) as session:
                session.execute("BEGIN")
                session.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                starting = asyncio.ensure_future(store.runs.start(start_of("new", NAP)))
                if table == "runs":
                    await until_async(lambda: store._writer._blocked_writes._blocked)
                else:  # A start needs neither, and waits for neither.
                    await starting
                session.execute("ROLLBACK")
            await starting
            assert run_of(server_database, "new", "created_at") >= run_of(server_database, "sleeps", "created_at")
            assert await due(store) == ["new"]

    asyncio.run(before())
    clock.set_by(-HOUR)
    asyncio.run(after())


async def test_a_store_of_its_own_clock_goes_on_from_what_another_clock_has_written(
    database: Database, clock: SettableClock
) -> None:
    async with opened(database, clock) as store:
        clock.advance(HOUR)
        await start(store, "a")
    behind = SettableClock()
    async with opened(database, behind, "two") as store:
        await (store.servers.join() if store.is_shared else store.leases.seize())
        assert (await claim_one(store)).run.id == "a"


async def test_a_start_after_a_kill_goes_on_from_the_times_of_the_run_that_was_running(
    database: Database, clock: SettableClock
) -> None:
    """The run was claimed long after it was created, and its server has left no other time since."""
    async with opened(database, clock, server_id="before") as store:
        await start(store, "r")
        clock.advance(HOUR)
        await claim_one(store)
    clock.set_by(-HOUR)
    async with opened(database, clock, server_id="after") as store:
        await start(store, "new")
        assert run_of(database, "new", "created_at") >= run_of(database, "r", "started_at")
