"""Readiness asks for what a server does: writing, reading, and a loop that moves. It gives reasons, and never fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from service.main import Server, serving
from service.settings import Settings
from tests.postgres import Databases


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path}/rungraph.db"
        return
    postgres: Databases = request.getfixturevalue("postgres")
    url = postgres.migrated()
    yield url
    postgres.drop(url)


@pytest.fixture
def shared(postgres: Databases) -> Iterator[str]:
    url = postgres.migrated()
    yield url
    postgres.drop(url)


@asynccontextmanager
async def ready(url: str, folder: Path) -> AsyncIterator[Server]:
    """A server that is ready, at the end once more."""
    async with serving(Settings(database_url=url, data_dir=folder), "here") as server:
        assert await server.unready() is None
        yield server
        async with asyncio.timeout(30):
            while await server.unready() is not None:
                pass


def test_a_loop_that_something_holds_up_is_seen(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.main.PROBE_S", 0.5)

    async def scenario() -> None:
        async with ready(url, tmp_path) as server:
            assert server.engine is not None
            assert server.engine._loop is not None
            inside, gate = threading.Event(), threading.Event()

            def hold_up() -> None:
                inside.set()
                gate.wait(30)

            server.engine._loop.call_soon_threadsafe(hold_up)
            await asyncio.to_thread(inside.wait, 30)
            try:
                reason = await server.unready()
            finally:
                gate.set()
            assert reason is not None
            assert "the engine, whose loop something may hold up: no answer within 0.5 s" in reason

    asyncio.run(scenario())


def test_an_engine_that_has_ended_is_seen(url: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(Settings(database_url=url, data_dir=tmp_path), "here") as server:
            assert server.engine is not None
            await server.engine.stop()
            assert await server.unready() == "the engine has stopped"

    asyncio.run(scenario())


def test_a_fault_of_our_own_is_a_reason_and_no_failure(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise ValueError("a fault")

    async def scenario() -> None:
        async with serving(Settings(database_url=url, data_dir=tmp_path), "here") as server:
            monkeypatch.setattr(server.store, "probe_reading", broken)
            assert await server.unready() == "reading: a fault of the server's; its log says more"

    asyncio.run(scenario())


@pytest.mark.parametrize("table", ["runs", "log_lines"])
def test_a_table_that_somebody_has_locked_turns_readiness_red(
    shared: str, tmp_path: Path, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.main.PROBE_S", 1.0)

    async def scenario() -> None:
        async with ready(shared, tmp_path) as server:
            with psycopg.connect(shared) as session:
                session.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE".encode())
                assert (await server.unready() or "").startswith("writing: ")
                session.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
                assert "reading: no answer within 1 s" in (await server.unready() or "")

    asyncio.run(scenario())


def test_a_database_that_is_gone_is_named(postgres: Databases, shared: str, tmp_path: Path) -> None:
    name = psycopg.conninfo.conninfo_to_dict(shared)["dbname"]

    async def scenario() -> None:
        async with serving(Settings(database_url=shared, data_dir=tmp_path), "here") as server:
            with psycopg.connect(shared, autocommit=True) as session:
                session.execute("DROP SCHEMA public CASCADE")
            reason = await server.unready() or ""
            assert f"/{name} lacks the tables attempts, changes, graphs and " in reason
            assert "reading: " in reason
            assert "writing: " in reason
            with psycopg.connect(postgres.url, autocommit=True) as session:
                session.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
                assert "reading: the database cannot be read: postgresql://" in (await server.unready() or "")
                assert f"/{name} does not exist" in (await server.unready() or "")
                session.execute(f'CREATE DATABASE "{name}"'.encode())

    asyncio.run(scenario())
