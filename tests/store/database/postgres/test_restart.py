"""A PostgreSQL of the tests' own: restarted under a store, not durable, in a wrong encoding, behind any form of URL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from service.core.errors import StartRefused, Unavailable
from service.store import Store
from service.store.database.opening import database_at
from service.store.database.protocol import Database
from service.store.schema.migrate import migrate
from tests.support.postgres import Databases, Server, own_server
from tests.support.store.carrying import claim
from tests.support.store.harness import ask, commit, opened, start, success, until_async

READERS = 8


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with own_server(unix_socket_directories="/tmp") as server:
        migrate(database_at(server.url))
        yield server


async def read(store: Store, run_id: str) -> tuple[int, str]:
    record, state, _ = await store.runs.whole(run_id, 0, 10)
    return record.step, state.to_text()


async def read_at_once(store: Store, run_id: str) -> list[Any]:
    """What all readers of the pool answer."""
    return await asyncio.gather(*(read(store, run_id) for _ in range(READERS)), return_exceptions=True)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart_of_postgresql_loses_nothing_and_reads_are_right_or_unavailable(
    server: Server, mode: str
) -> None:
    run_id = f"restarted-{mode}"

    async with opened(database_at(server.url)) as store:
        await start(store, run_id)
        claimed = await claim(store, run_id)
        run = await commit(store, claimed.lease, success(claimed.run, n=1))
        assert await read_at_once(store, run_id) == [(1, '{"n":1}')] * READERS
        server.stop(mode)
        try:
            assert [type(answer) for answer in await read_at_once(store, run_id)] == [Unavailable] * READERS
            patient = asyncio.ensure_future(commit(store, claimed.lease, success(run, n=2)))
            with pytest.raises(Unavailable):
                await store.servers.probe(within_s=0.1)
            assert not patient.done()
        finally:
            server.start()
        # Right again at once, though the pool is full of connections that are gone.
        assert {*await read_at_once(store, run_id)} <= {(1, '{"n":1}'), (2, '{"n":2}')}
        run = await patient
        assert await read_at_once(store, run_id) == [(2, '{"n":2}')] * READERS
        assert (await commit(store, claimed.lease, success(run, n=1000))).step == 3


async def test_readers_whose_connections_broke_unseen_answer_right_at_once(server: Server) -> None:
    async with opened(database_at(server.url)) as store:
        await start(store, "unseen")
        assert await read_at_once(store, "unseen") == [(0, '{"n":0}')] * READERS
        server.terminate_backends()
        assert await read_at_once(store, "unseen") == [(0, '{"n":0}')] * READERS
        await start(store, "unseen, too")


async def test_a_reader_that_is_cut_off_in_the_middle_is_unavailable(server: Server) -> None:
    async def read_while_cut_off(store: Store) -> None:
        async with store._reader.snapshot() as snapshot:
            assert await snapshot.one(text("SELECT 1")) == (1,)
            server.terminate_backends()
            await snapshot.one(text("SELECT 1"))

    async with opened(database_at(server.url)) as store:
        with pytest.raises(Unavailable):
            await read_while_cut_off(store)
        async with store._reader.snapshot() as snapshot:
            assert await snapshot.one(text("SELECT 1")) == (1,)


async def test_no_transaction_stays_open_when_commands_have_been_done(server: Server) -> None:
    database = database_at(server.url)
    async with opened(database) as store:
        await start(store, "resting")
        await read_at_once(store, "resting")
        open_ones = "SELECT query FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        await until_async(lambda: not ask(database, open_ones))
        assert ask(database, open_ones) == []
        await start(store, "resting, too")


# What is refused at the start.


async def start_up(database: Database) -> None:
    async with opened(database):
        pass


async def assert_refused(database: Database, why: str) -> None:
    store = Store(database, server_id="one", address="", lease_s=15)
    with pytest.raises(StartRefused, match=why):
        store.open()
    await store._reader.close()
    store._notifier.close()


def set_in(server: Server, setting: str, value: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as session:
        session.execute(f"ALTER DATABASE postgres SET {setting} = '{value}'".encode())


@pytest.fixture
def undurable(server: Server) -> Iterator[str]:
    set_in(server, "synchronous_commit", "off")
    yield server.url
    set_in(server, "synchronous_commit", "on")


async def test_a_database_that_does_not_wait_for_its_disk_is_refused_unless_allowed(undurable: str) -> None:
    await assert_refused(database_at(undurable), "synchronous_commit is off.*RUNGRAPH_ALLOW_UNDURABLE=1")
    await start_up(database_at(undurable, allow_undurable=True))


async def test_a_server_without_fsync_is_refused_unless_allowed() -> None:
    with own_server(fsync="off", synchronous_commit="off") as server:
        await assert_refused(database_at(server.url), "fsync and synchronous_commit is off")
        with pytest.raises(StartRefused, match="fsync and synchronous_commit is off"):
            migrate(database_at(server.url))
        allowed = database_at(server.url, allow_undurable=True)
        migrate(allowed)
        await start_up(allowed)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_cannot_hold_every_text_is_refused(postgres: Databases, encoding: str) -> None:
    name = f"rungraph_encoded_{encoding.lower()}"
    with psycopg.connect(postgres.url, autocommit=True) as session:
        session.execute(f"DROP DATABASE IF EXISTS {name}".encode())
        session.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'".encode())
        try:
            given = psycopg.conninfo.conninfo_to_dict(postgres.url)
            port, host, user = given["port"], given["host"], given["user"]
            await assert_refused(
                database_at(f"postgresql://{user}@{host}:{port}/{name}"), f"{encoding}: UTF8 is needed"
            )
        finally:
            session.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


# URLs.


def forms(port: int) -> dict[str, str]:
    here = f"127.0.0.1:{port}"
    return {
        "plain": f"postgresql://postgres@{here}/postgres",
        "short": f"postgres://postgres@{here}/postgres",
        "with a driver": f"postgresql+psycopg://postgres@{here}/postgres",
        "with parameters": f"postgresql://postgres@{here}/postgres?connect_timeout=3&application_name=x",
        "several hosts": f"postgresql://postgres@127.0.0.1:1,{here}/postgres",
        "a socket": f"postgresql://postgres@/postgres?host=/tmp&port={port}",
        "a socket as the host": f"postgresql://postgres@%2Ftmp:{port}/postgres",
    }


@pytest.mark.parametrize("form", forms(0))
async def test_a_url_of_any_form_leads_to_the_database(server: Server, form: str) -> None:
    async with opened(database_at(forms(server.port)[form])) as store:
        await start(store, form)
        assert (await store.runs.get(form)).run_id == form


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://me:secret@db:5433/runs", "postgresql://db:5433/runs"),
        ("postgres://me:secret@db/runs?sslmode=require", "postgresql://db/runs"),
        ("postgresql://db/runs?user=me&password=secret", "postgresql://db/runs"),
        ("postgresql://me:secret@a:1,b:2/runs", "postgresql://a,b:1,2/runs"),
        ("postgresql://me:secret@/runs?host=/var/run", "postgresql:///var/run/runs"),
    ],
)
def test_a_name_tells_the_place_and_no_password(url: str, name: str) -> None:
    assert database_at(url).name == name


@pytest.mark.parametrize(
    "url",
    [
        *("postgresql://me:secret@[::1/runs", "postgresql://me:secret@[::1]x/runs", "postgresql://me:secret%zz@h/runs"),
        *("postgresql://me:secret@h:1:2/runs", "postgresql://me:secret@h:no/runs", "postgresql://me:secret@h/runs?x"),
        *("postgresql://me:secret@h/runs?nonsense=1", "postgres://me:secret@h/%00", "postgresql:me:secret@h/runs"),
    ],
)
def test_no_password_is_told_of_a_url_that_is_wrong(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.store.database.postgres.connections.START_WITHIN_S", 0.0)
    with pytest.raises(StartRefused) as refused:
        migrate(database_at(url))
    assert "secret" not in str(refused.value)


async def test_no_password_is_told_of_a_database_that_does_not_answer_or_refuses(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.database.postgres.connections.START_WITHIN_S", 0.0)
    for url in (
        "postgresql://me:secret@127.0.0.1:1/runs",
        f"postgresql://nobody:secret@127.0.0.1:{server.port}/postgres",
        f"postgresql://postgres:secret@127.0.0.1:{server.port}/nothing",
    ):
        with pytest.raises(StartRefused, match="cannot use") as refused:
            migrate(database_at(url))
        assert "secret" not in str(refused.value)
        await assert_refused(database_at(url), r"cannot write postgresql://127\.0\.0\.1:\d+/\w+: (?!.*secret)")
