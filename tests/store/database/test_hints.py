"""Notifier between servers: they ring, and everything is found without them as well."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing

import pytest

from service.store import Store
from service.store.database.local_events import CLAIMABLE
from service.store.database.protocol import Database
from tests.support.store.harness import Clock, ask, commit, opened, said, start, started, success, until, until_async

HINTING = """\
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND (query LIKE 'LISTEN%' OR query LIKE 'SELECT pg_notify%') AND state = 'idle'"""


@pytest.fixture
def database(server_database: Database) -> Database:
    return server_database


def listening(database: Database, count: int = 2) -> None:
    until(lambda: ask(database, f"SELECT count(*) {HINTING}") == [(count,)])


async def rings(store: Store, topic: str, change: Awaitable[object]) -> None:
    """Return when `change`, a command of another server's, has rung `topic` here, which nothing but a hint does."""
    with store.events.subscribe(topic) as woken:
        await change
        async with asyncio.timeout(60):
            await woken.wait()


async def followed(store: Store, run_id: str) -> list[int]:
    async with aclosing(store.tails.lines(run_id, 0, gone=lambda _: False)) as pages:
        return [line.seq async for lines in pages for line in lines]


async def test_a_commit_on_one_server_rings_on_another(database: Database) -> None:
    async with opened(database) as one, opened(database, server_id="two") as two:
        claimed = await started(one)
        listening(database)
        run = claimed.run
        for number in range(5):
            transition = success(run, n=number)
            await rings(two, "r", commit(one, claimed.lease, transition))
            run = transition.run
        await rings(two, CLAIMABLE, one.leases.release(claimed.lease, interrupted=False))
        await rings(one, CLAIMABLE, start(two, "s"))


async def test_a_transaction_that_changes_more_than_one_hint_holds_rings_for_all(database: Database) -> None:
    clock = Clock()  # No lease runs out, however long it takes to claim so many runs.
    async with opened(database, clock) as one, opened(database, clock, server_id="two") as two:
        claims = [await started(one, f"{number:036}") for number in range(180)]
        listening(database)
        first, last = claims[0].lease.run_id, claims[-1].lease.run_id
        with two.events.subscribe(first) as one_end, two.events.subscribe(last) as other_end:
            await asyncio.gather(*(asyncio.wrap_future(one.logs.append(claim.lease, said("x"))) for claim in claims))
            async with asyncio.timeout(60):
                await one_end.wait()
                await other_end.wait()
        listening(database)


async def test_a_tail_sees_all_lines_of_a_run_that_another_server_writes(database: Database) -> None:
    async with opened(database) as one, opened(database, server_id="two") as two:
        claimed = await started(one)
        follower = asyncio.ensure_future(followed(two, "r"))
        run = claimed.run
        for number in (*range(30), 1000):
            run = await commit(one, claimed.lease, success(run, n=number), said("x", "y"))
        last_seq = (await two.runs.get("r")).last_seq
        assert await asyncio.wait_for(follower, 60) == list(range(1, last_seq + 1))


async def test_a_tail_sees_all_lines_while_the_hints_are_cut_off_over_and_over_and_then_they_come_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.queries.tail.POLL_S", 0.05)

    async with opened(database) as one, opened(database, server_id="two") as two:
        claimed = await started(one)
        listening(database)
        follower = asyncio.ensure_future(followed(two, "r"))
        run, cuts = claimed.run, 0
        for number in (*range(40), 1000):
            cuts += len(ask(database, f"SELECT pg_terminate_backend(pid) {HINTING}"))
            run = await commit(one, claimed.lease, success(run, n=number), said("x"))
            await asyncio.sleep(0.02)  # So that they can come back, and be cut off again.
        last_seq = (await two.runs.get("r")).last_seq
        assert await asyncio.wait_for(follower, 60) == list(range(1, last_seq + 1))
        assert cuts >= 4
        await until_async(lambda: ask(database, f"SELECT count(*) {HINTING}") == [(2,)])
        await rings(two, CLAIMABLE, start(one, "s"))


async def test_hints_are_sent_before_a_store_closes(database: Database) -> None:
    async with opened(database, server_id="two") as two:
        with two.events.subscribe(CLAIMABLE) as woken:
            async with opened(database) as one:
                listening(database)
                await start(one, "r")
            async with asyncio.timeout(60):
                await woken.wait()
        assert woken.is_set()
