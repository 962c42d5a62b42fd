"""Whether the way to the database is there: a database that cannot is another matter than a process that cannot."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from service.core.errors import Unavailable
from service.store import Store
from service.store.database.opening import database_at
from service.store.database.protocol import READERS_MAX
from service.store.schema.migrate import migrate
from tests.support.postgres import own_server


@asynccontextmanager
async def store_at(url: str) -> AsyncIterator[Store]:
    database = database_at(url)
    migrate(database)
    store = Store(database, server_id="server", address="test", lease_s=15)
    store.open()
    try:
        yield store
    finally:
        await store.close()


async def test_a_way_that_is_there_works_and_changes_nothing(tmp_path: Path) -> None:
    async with store_at(f"sqlite:///{tmp_path / 'rungraph.db'}") as store:
        log = tmp_path / "rungraph.db-wal"
        assert await store.works()
        before = log.read_bytes()
        assert await store.works()
        assert log.read_bytes() == before


async def test_a_locked_file_is_no_fault_of_the_process(tmp_path: Path) -> None:
    async with store_at(f"sqlite:///{tmp_path / 'rungraph.db'}") as store:
        with closing(sqlite3.connect(tmp_path / "rungraph.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            assert await store.works()
            other.rollback()


async def test_a_postgres_that_is_gone_is_no_fault_of_the_process() -> None:
    with own_server() as server:
        async with store_at(server.url) as store:
            assert await store.works()
            server.stop()
            assert await store.works()
            server.start()


async def test_a_writer_that_does_not_get_as_far_as_the_database_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with store_at(f"sqlite:///{tmp_path / 'rungraph.db'}") as store:
        store._writer._write_connection.disconnect()
        with monkeypatch.context() as patched:
            patched.setattr(sqlite3, "connect", None)
            with pytest.raises(Unavailable):
                await store.servers.probe(within_s=2)
            assert not await store.works()
        assert await store.works()


async def test_a_reader_that_raises_anything_else_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with store_at(f"sqlite:///{tmp_path / 'rungraph.db'}") as store:

        def broken(*_: Any) -> None:
            raise TypeError

        monkeypatch.setattr(store._reader, "snapshot", broken)
        with pytest.raises(TypeError):
            await store.works()


async def test_a_pool_whose_readers_are_all_busy_is_no_fault_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.store.ANSWER_S", 0.2)

    async with store_at(f"sqlite:///{tmp_path / 'rungraph.db'}") as store, AsyncExitStack() as reading:
        for _ in range(READERS_MAX):
            await reading.enter_async_context(store._reader.snapshot())
        assert await store.works()
