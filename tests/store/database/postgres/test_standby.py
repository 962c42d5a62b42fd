"""A synchronous standby that is down: nothing is acknowledged that only the primary has, however its wait is ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from service.store import Store
from service.store.database.opening import database_at
from service.store.database.protocol import Database
from service.store.schema.migrate import migrate
from tests.support.postgres import Server, own_server
from tests.support.store.carrying import APPROVAL
from tests.support.store.harness import (
    COUNTER,
    ask,
    claim_one,
    clean,
    commit,
    key_of,
    opened,
    start,
    start_of,
    success,
    until_async,
)

WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture(scope="module")
def primary() -> Iterator[Server]:
    # Its transactions would wait for the standby too.
    with own_server(autovacuum="off") as server:
        migrate(database_at(server.url))
        yield server


@pytest.fixture
def database(primary: Server) -> Database:
    database = database_at(primary.url)
    clean(database)
    return database


def set_standby(primary: Server, name: str) -> None:
    """Whose disk commits wait for; of nobody if it is empty."""
    with psycopg.connect(primary.url, autocommit=True) as session:
        session.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'".encode())
        session.execute("SELECT pg_reload_conf()")


@asynccontextmanager
async def no_standby(primary: Server) -> AsyncIterator[None]:
    """Commits wait for a standby that is down; at the end there is none to wait for."""
    set_standby(primary, "down")
    try:
        await until_a_commit_waits(primary)
        yield
    finally:
        set_standby(primary, "")


async def until_a_commit_waits(primary: Server) -> None:
    """Commit until a commit waits. A session sees the new setting before PostgreSQL's checkpointer has made it hold."""
    is_over = threading.Event()

    def commit_again() -> None:
        with psycopg.connect(primary.url, autocommit=True) as session:
            while not is_over.is_set():
                # A commit that has written nothing before its own record does not wait.
                session.execute("SELECT pg_logical_emit_message(true, 'probe', '')")

    database = database_at(primary.url)
    committing = asyncio.create_task(asyncio.to_thread(commit_again))
    try:
        await waiting(database)
    finally:
        is_over.set()
        for (pid,) in ask(database, WAITING):
            ask(database, f"SELECT pg_cancel_backend({pid})")
        await committing


async def waiting(database: Database, count: int = 1) -> list[int]:
    """The processes of PostgreSQL that wait for the standby, once there are so many."""
    await until_async(lambda: len(ask(database, WAITING)) == count)
    return [pid for (pid,) in ask(database, WAITING)]


async def end(database: Database, how: str) -> None:
    """End the one wait that there is, as an administrator may; return when its command waits again."""
    [pid] = await waiting(database)
    with psycopg.connect(database.conninfo, autocommit=True) as session:  # type: ignore[attr-defined]  # of Postgres
        before = session.execute("SELECT pg_current_wal_lsn()").fetchone()
        session.execute(f"SELECT {how}(%s)", [pid])
        # It has written again: what it waits for now is another commit.
        await until_async(lambda: session.execute("SELECT pg_current_wal_lsn()").fetchone() != before)
    await waiting(database)


async def a_graph(store: Store) -> None:
    await store.graphs.add(COUNTER)


async def a_run(store: Store) -> None:
    await start(store, "r", APPROVAL)


COMMANDS: dict[str, tuple[Callable[[Store], Awaitable[Any]], Callable[[Store], Awaitable[Any]]]] = {
    "start": (a_graph, lambda store: store.runs.start(start_of("r"), within_s=600)),
    "start with a key": (a_graph, lambda store: store.runs.start(start_of("r"), key_of("k"))),
    "signal": (a_run, lambda store: store.signals.send("r", "ok", "1")),
    "cancel": (a_run, lambda store: store.control.cancel("r")),
    "pause": (a_run, lambda store: store.control.pause("r")),
}


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
@pytest.mark.parametrize("command", COMMANDS)
async def test_what_has_not_reached_the_standby_is_not_acknowledged(
    primary: Server, database: Database, command: str, how: str
) -> None:
    prepare, do = COMMANDS[command]

    async with opened(database) as store:
        await prepare(store)
        async with no_standby(primary):
            asked = asyncio.ensure_future(do(store))
            for _ in range(2):
                await end(database, how)
                assert not asked.done()
        assert await asked == {"start": ("r", True), "start with a key": ("r", True), "signal": True}.get(
            command, "paused" if command == "pause" else None
        )
    assert ask(database, "SELECT count(*) FROM runs") == [(1,)]
    assert ask(database, "SELECT count(*) FROM signals") == [(int(command == "signal"),)]


AGAIN: dict[str, tuple[Callable[[Store], Awaitable[Any]], Callable[[Store], Awaitable[Any]], Any]] = {
    "start": (
        a_graph,
        lambda store: store.runs.start(start_of(f"r{id(store)}"), key_of("k")),
        lambda answer: answer[1] is False,
    ),
    "signal": (
        a_run,
        lambda store: store.signals.send("r", "ok", "1", key_of("s")),
        lambda answer: answer is False,
    ),
    "cancel": (a_run, lambda store: store.control.cancel("r"), lambda answer: answer is None),
    "pause": (a_run, lambda store: store.control.pause("r"), lambda answer: answer == "paused"),
    "graph": (a_run, lambda store: store.graphs.add(COUNTER), lambda answer: answer is False),
}


@pytest.mark.parametrize("command", AGAIN)
async def test_a_call_that_only_finds_what_it_asks_for_waits_as_well(
    primary: Server, database: Database, command: str
) -> None:
    """It may be there because another server's wait was ended, and may be lost with the primary."""
    prepare, do, is_right = AGAIN[command]

    async with opened(database) as one, opened(database, server_id="two") as two:
        await prepare(one)
        await do(one)
        async with no_standby(primary):
            again = asyncio.ensure_future(do(two))
            await waiting(database)
            assert not again.done()
        assert is_right(await again)


async def test_a_step_whose_wait_is_ended_is_committed_once(primary: Server, database: Database) -> None:
    async with opened(database) as store:
        await start(store, "r")
        claimed = await claim_one(store)
        async with no_standby(primary):
            asked = asyncio.ensure_future(commit(store, claimed.lease, success(claimed.run, n=1)))
            await end(database, "pg_cancel_backend")
            assert not asked.done()
        assert (await asked).step == 1
    assert ask(database, "SELECT step FROM snapshots") == [(1,)]


async def test_a_wait_that_is_ended_again_and_again_is_no_acknowledgement(primary: Server, database: Database) -> None:
    async with opened(database) as store:
        await store.graphs.add(COUNTER)
        async with no_standby(primary):
            asked = asyncio.ensure_future(store.runs.start(start_of("r")))
            for _ in range(7):  # More often than a command is replayed at once.
                await end(database, "pg_cancel_backend")
                assert not asked.done()
        assert await asked == ("r", True)
