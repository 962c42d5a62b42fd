"""Readiness asks for what a server does: writing, reading, and a loop that moves. It gives reasons, and never fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from service.server import RunningServer, serving
from service.settings import Settings
from tests.support.postgres import Databases


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


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes its time."""
    monkeypatch.setattr("service.health.PROBE_S", 60.0)


async def until_told(server: RunningServer, *reasons: str) -> None:
    """Return when readiness gives all these reasons."""
    async with asyncio.timeout(60):
        told = ""
        while not all(reason in told for reason in reasons):
            told = await server.unready() or ""


@asynccontextmanager
async def ready(url: str, folder: Path) -> AsyncIterator[RunningServer]:
    """A server that is ready, at the end once more."""
    async with serving(Settings(database_url=url, data_dir=folder), "here") as server:
        assert await server.unready() is None
        yield server
        async with asyncio.timeout(60):
            while await server.unready() is not None:
                pass


async def test_a_loop_that_something_holds_up_is_seen(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ready(url, tmp_path) as server:
        assert server.engine is not None
        assert server.engine._loop is not None
        inside, gate = threading.Event(), threading.Event()

        def hold_up() -> None:
            inside.set()
            gate.wait(120)

        server.engine._loop.call_soon_threadsafe(hold_up)
        await asyncio.to_thread(inside.wait, 60)
        try:
            with monkeypatch.context() as patch:
                patch.setattr("service.health.PROBE_S", 0.5)
                await until_told(server, "the engine's loop: no answer within 0.5 s")
        finally:
            gate.set()


async def test_an_engine_that_has_ended_is_seen(url: str, tmp_path: Path) -> None:
    async with serving(Settings(database_url=url, data_dir=tmp_path), "here") as server:
        assert server.engine is not None
        await server.engine.stop()
        assert await server.unready() == "the engine has stopped"


async def test_a_fault_of_our_own_is_a_reason_and_no_failure(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise ValueError("a fault")

    async with serving(Settings(database_url=url, data_dir=tmp_path), "here") as server:
        monkeypatch.setattr(server.store, "probe_reading", broken)
        assert await server.unready() == "reading: a fault of the server's; its log says more"


@pytest.mark.parametrize("table", ["runs", "log_lines"])
async def test_a_table_that_somebody_has_locked_turns_readiness_red(shared: str, tmp_path: Path, table: str) -> None:
    async with ready(shared, tmp_path) as server:
        with psycopg.connect(shared) as session:
            session.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE".encode())
            await until_told(server, "writing: ")
            session.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
            await until_told(server, "reading: the database cannot be read")


async def test_a_database_that_is_gone_is_named(
    postgres: Databases, shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = psycopg.conninfo.conninfo_to_dict(shared)["dbname"]

    async with serving(Settings(database_url=shared, data_dir=tmp_path), "here") as server:
        with psycopg.connect(shared, autocommit=True) as session:
            session.execute("DROP SCHEMA public CASCADE")
        await until_told(
            server, f"/{name} lacks the tables attempts, changes, deletions and ", "reading: ", "writing: "
        )
        monkeypatch.setattr("service.health.PROBE_S", 1.0)
        with psycopg.connect(postgres.url, autocommit=True) as session:
            session.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
            await until_told(server, "reading: the database cannot be read: postgresql://", f"/{name} does not exist")
            session.execute(f'CREATE DATABASE "{name}"'.encode())
