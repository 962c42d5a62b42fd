"""Servers on one PostgreSQL: what each does in the middle of another's transaction, and when one hangs in its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from service.core.errors import Conflict
from service.core.transitions import Status
from service.store import Store
from service.store.commands.servers import AHEAD_MAX
from service.store.database.postgres.connections import Postgres
from service.store.database.protocol import Database
from service.store.database.transaction import Transaction
from service.store.rows.family import lock_runs
from service.store.rows.records import Claimed, Lease
from tests.support.store.harness import (
    COUNTER,
    ask,
    commit,
    failure,
    gathering,
    key_of,
    opened,
    said,
    sql,
    start,
    start_of,
    started,
    success,
    until_async,
)
from tests.support.store.reusing import with_new_sessions
from tests.support.store.servers import servers, undecided, until_one_waits

Limits = dict[str, str]


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> Limits:
    """Longer than a busy machine takes for what the tests do within: no wait for a lock and no pause is ended."""
    limits = {"lock_timeout": "'60s'", "idle_in_transaction_session_timeout": "'60s'"}
    monkeypatch.setattr("service.store.database.postgres.session._LIMITS", limits)
    return limits


@pytest.fixture
def database(limits: Limits, server_database: Database) -> Database:  # noqa: ARG001  # which its sessions learn
    return server_database


async def append(store: Store, lease: Lease) -> bool:
    return await asyncio.wrap_future(store.logs.append(lease, said("x")))


def names(claimed: list[Claimed]) -> list[str]:
    return [claim.lease.run_id for claim in claimed]


async def test_a_key_that_another_server_is_just_taking_for_the_same_body_is_one_run(database: Database) -> None:
    async with servers(database) as (one, two):
        await one.graphs.add(COUNTER)
        async with undecided(one, one.runs.start(start_of("first"), key_of("k"))) as first:
            second = asyncio.ensure_future(two.runs.start(start_of("second"), key_of("k")))
            await until_one_waits(database)
            assert not second.done()
        assert [await first, await second] == [("first", True), ("first", False)]
    assert ask(database, "SELECT id FROM runs") == [("first",)]


async def test_a_key_that_another_server_is_just_taking_for_another_body_is_a_conflict(database: Database) -> None:
    async with servers(database) as (one, two):
        await one.graphs.add(COUNTER)
        async with undecided(one, one.runs.start(start_of("first"), key_of("k", "x"))) as first:
            second = asyncio.ensure_future(two.runs.start(start_of("second"), key_of("k", "y")))
            await until_one_waits(database)
        assert await first == ("first", True)
        with pytest.raises(Conflict):
            await second
    assert ask(database, "SELECT run_id, body_digest FROM idempotency_keys") == [("first", "x")]
    assert ask(database, "SELECT id FROM runs") == [("first",)]


async def test_starts_with_one_key_on_three_servers_at_once_are_one_run_and_other_bodies_conflict(
    database: Database,
) -> None:
    async with servers(database, 3) as stores:
        await stores[0].graphs.add(COUNTER)
        bodies = ("x", "x", "y")
        for key in map(str, range(20)):
            outcomes = await asyncio.gather(
                *(
                    store.runs.start(start_of(f"{key}-{number}"), key_of(key, body))
                    for number, (store, body) in enumerate(zip(stores, bodies, strict=True))
                ),
                return_exceptions=True,
            )
            told = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
            assert len({run_id for run_id, _ in told}) == 1
            assert [new for _, new in told].count(True) == 1
            assert all(isinstance(other, Conflict) for other in outcomes if other not in told)
            assert len(told) in (1, 2)
    assert ask(database, "SELECT count(*) FROM runs") == [(20,)]


async def test_a_claim_passes_over_the_runs_that_another_server_is_just_claiming(database: Database) -> None:
    async with servers(database) as (one, two):
        for number in range(10):
            await start(one, str(number))
        async with undecided(one, one.leases.claim(4)) as first:
            assert names(await two.leases.claim(10)) == list("456789")
            assert not first.done()
        assert names(await first) == list("0123")
    assert ask(database, "SELECT lease_owner, count(*) FROM runs GROUP BY 1 ORDER BY 1") == [("one", 4), ("two", 6)]


async def test_servers_that_claim_at_once_share_the_runs_and_none_is_claimed_twice(database: Database) -> None:
    async def claiming(store: Store) -> list[str]:
        mine: list[str] = []
        while claimed := await store.leases.claim(7):
            mine += names(claimed)
        return mine

    async with servers(database, 3) as stores:
        await stores[0].graphs.add(COUNTER)
        await asyncio.gather(*(stores[0].runs.start(start_of(str(number))) for number in range(200)))
        claimed = await asyncio.gather(*map(claiming, stores))
        assert sorted((name for mine in claimed for name in mine), key=int) == [str(number) for number in range(200)]
        assert all(claimed), "one was locked out"
    assert ask(database, "SELECT DISTINCT lease_token FROM runs") == [(1,)]


async def test_a_server_that_hangs_in_a_transaction_hinders_nobody_and_is_ended(
    database: Database, limits: Limits
) -> None:
    limits["idle_in_transaction_session_timeout"] = "'5s'"

    async with servers(database) as (one, two):
        for name in "abc":
            await start(one, name)
        async with undecided(one, one.leases.claim(1)) as hanging:
            assert names(await two.leases.claim(10)) == ["b", "c"]
            # PostgreSQL ends the transaction, not the server that hangs: then its run is there for others.
            idle = "SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction'"
            await until_async(lambda: not ask(database, idle))
            [claimed] = await two.leases.claim(10)
            assert claimed.lease == Lease("a", 1)
        assert await hanging == []
        await start(one, "d")
        assert names(await one.leases.claim(10)) == ["d"]
        assert await two.logs.page("a", 0, 10) is not None
        run = await commit(two, claimed.lease, success(claimed.run, n=1))
        assert run.step == 1


async def test_a_run_whose_row_somebody_locks_hinders_no_other_run(database: Database) -> None:
    async with servers(database) as (one, two):
        locked, free = await started(one, "locked"), await started(one, "free")
        async with undecided(two, append(two, locked.lease)):
            waiting = asyncio.ensure_future(commit(one, locked.lease, success(locked.run, n=1)))
            await until_one_waits(database)
            assert not waiting.done()
        await waiting
        assert (await commit(one, free.lease, success(free.run, n=1))).step == 1
        assert [line.seq for line in (await two.logs.page("locked", 0, 10))[0]] == [1, 2, 3]


async def test_batches_that_lock_each_other_out_lose_nothing(database: Database) -> None:
    """One locks r and then s, the other s and then r: PostgreSQL undoes one, whose commands are then done alone."""
    met = [threading.Event(), threading.Event()]

    def meeting(mine: int) -> Any:
        def meet(_transaction: Any) -> None:
            met[mine].set()
            assert met[1 - mine].wait(10)

        return meet

    with sql(database) as session:  # Sooner than either gives up waiting for the other.
        session.execute(f"ALTER DATABASE {database.name.rpartition('/')[2]} SET deadlock_timeout = '10ms'")
    async with servers(with_new_sessions(database)) as stores:
        leases = [(await started(stores[0], name)).lease for name in "rs"]
        written: list[Any] = []
        for number, store in enumerate(stores):
            with gathering(store):
                written.append(store.logs.append(leases[number], said("first", "second")))
                store._writer.submit(meeting(number))
                written.append(store.logs.append(leases[1 - number], said("third")))
        assert await asyncio.gather(*map(asyncio.wrap_future, written)) == [True] * 4
        for name in "rs":
            lines, last_seq, _ = await stores[1].logs.page(name, 1, 10)
            assert ([line.seq for line in lines], last_seq) == ([2, 3, 4], 4)
            assert sorted(line.message for line in lines) == ["first", "second", "third"]
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert await until_async(lambda: ask(database, deadlocks)[0][0]) >= 1


async def test_a_server_lets_the_idlest_that_lives_go_first(database: Database) -> None:
    async with servers(database, 3) as (one, two, three):
        assert await one.servers.share(100, 0) == 100  # It knows of nobody.
        await two.servers.join()
        assert await one.servers.share(100, 0) == AHEAD_MAX
        assert await one.servers.share(100, AHEAD_MAX - 1) == 1
        assert await one.servers.share(100, 10 * AHEAD_MAX) == 0
        await asyncio.wrap_future(two.leases.renew([Lease("x", 1)] * 100))
        assert await one.servers.share(100, 100) == AHEAD_MAX
        # One that executes nothing has no turn.
        await three.servers.probe(within_s=60)
        assert await one.servers.share(100, 100) == AHEAD_MAX
        with_active = ask(database, "SELECT id, active FROM servers ORDER BY id")
        assert with_active == [("one", 100), ("three", None), ("two", 100)]


@asynccontextmanager
async def somebody(database: Database) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Another server, in the middle of a transaction."""
    assert isinstance(database, Postgres)
    async with await psycopg.AsyncConnection.connect(database.conninfo) as connection:
        yield connection


ROW = "SELECT id FROM runs WHERE id = %s FOR UPDATE"


async def test_the_victim_of_a_deadlock_is_done_again_and_answered(database: Database) -> None:
    def command(transaction: Transaction) -> str:
        lock_runs(transaction, ["a"])
        lock_runs(transaction, ["b"])
        return "done"

    async with opened(database) as store, somebody(database) as other:
        for name in ("a", "b"):
            await start(store, name)
        await other.execute(ROW, ["b"])
        writing = asyncio.ensure_future(store._writer.write(command, within_s=60))
        await until_one_waits(database)
        await other.execute(ROW, ["a"])  # The other one of the two has waited for longer, and finds it out.
        assert not writing.done()
        await other.commit()
        assert await writing == "done"


async def test_steps_of_children_that_are_committed_together_lock_their_runs_in_one_order(database: Database) -> None:
    async with opened(database) as store, somebody(database) as other, somebody(database) as third:
        for name in ("a", "b"):
            await start(store, name)
        claimed = await store.leases.claim(2)
        lease = {each.lease.run_id: each.lease for each in claimed}
        child = {each.run.id: each.run._replace(parent_id="parent") for each in claimed}
        await other.execute(ROW, ["a"])
        with gathering(store):
            goes_on = commit(store, lease["b"], success(child["b"], n=1))
            rests = commit(store, lease["a"], failure(child["a"]))
            committing = [asyncio.ensure_future(goes_on), asyncio.ensure_future(rests)]
            await until_async(lambda: len(store._writer._waiting) == 2)
        await until_one_waits(database)
        await third.execute(f"{ROW} NOWAIT", ["b"])
        await third.commit()
        await other.commit()
        assert [run.status for run in await asyncio.gather(*committing)] == [Status.RUNNING, Status.FAILED]
