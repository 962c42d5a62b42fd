"""The reader gives back every connection, however its tasks end."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import text

from service.core.errors import Unavailable
from service.store.database.protocol import Database
from service.store.database.reader import Reader, Snapshot
from service.store.database.required_tables import RequiredTables
from service.store.database.sqlite.connections import Sqlite


@pytest.mark.parametrize("turns", range(4))
async def test_a_loop_that_ends_leaves_no_connection_open(database: Database, turns: int) -> None:
    """A loop that ends cancels all tasks, among them the task in which SQLAlchemy gives a connection back."""
    reader = Reader(database, RequiredTables(database, ()))
    snapshots: list[Snapshot] = []

    async def read() -> None:
        async with reader.snapshot() as snapshot:
            snapshots.append(snapshot)
            await snapshot.one(text("SELECT 1"))

    before = asyncio.all_tasks()
    reading = asyncio.create_task(read())
    while not (giving_back := asyncio.all_tasks() - before - {reading}):  # noqa: ASYNC110  # SQLAlchemy has no event.
        await asyncio.sleep(0)
    for _ in range(turns):  # With none of them the task is cancelled before it begins.
        await asyncio.sleep(0)
    for task in giving_back:
        task.cancel()
    await asyncio.gather(reading, *giving_back, return_exceptions=True)
    await reader.close()
    assert [snapshot._connection.closed for snapshot in snapshots] == [True]


@pytest.mark.parametrize("are_cancelled", [False, True], ids=["running", "cancelled"])
async def test_a_reader_closes_while_others_read(database: Database, are_cancelled: bool) -> None:
    """A connection that is in use is waited for. To close it as well would hang, or take it from its read."""

    async def read(reader: Reader) -> None:
        async with reader.snapshot() as snapshot:
            for _ in range(2):
                await snapshot.one(text("SELECT 1"))

    for turns in range(1, 40, 2):
        reader = Reader(database, RequiredTables(database, ()))
        await asyncio.gather(*(read(reader) for _ in range(3)))  # Drivers leave what is cancelled while it connects.
        reading = [asyncio.create_task(read(reader)) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in reading:
            if are_cancelled:
                task.cancel()
        async with asyncio.timeout(60):
            await reader.close()
            found = await asyncio.gather(*reading, return_exceptions=True)
        assert not [each for each in found if isinstance(each, Exception)]


@pytest.mark.parametrize("how", ["driver", "beneath"])
async def test_a_connection_that_something_has_closed_is_replaced(file: Sqlite, how: str) -> None:
    """A tool can close every connection that it finds."""
    reader = Reader(file, RequiredTables(file, ()))
    async with reader.snapshot() as snapshot:
        driver: Any = (await snapshot._connection.get_raw_connection()).driver_connection
    if how == "driver":
        await driver.close()
    else:
        await driver._execute(driver._conn.close)
    async with reader.snapshot() as snapshot:
        assert (await snapshot.one(text("SELECT 1"))) == (1,)
    await reader.close()


async def test_a_begin_that_the_database_refuses_makes_it_unavailable(file: Sqlite) -> None:
    reader = Reader(file, RequiredTables(file, ()))
    async with reader.snapshot() as snapshot:
        driver: Any = (await snapshot._connection.get_raw_connection()).driver_connection
    await driver._execute(driver._conn.set_authorizer, lambda *_: sqlite3.SQLITE_DENY)
    with pytest.raises(Unavailable):
        async with reader.snapshot() as snapshot:
            await snapshot.one(text("SELECT 1"))
    await driver._execute(driver._conn.set_authorizer, None)
    async with reader.snapshot() as snapshot:
        assert (await snapshot.one(text("SELECT 1"))) == (1,)
    await reader.close()


async def test_a_transaction_calls_its_thread_once_for_each_statement(file: Sqlite) -> None:
    """Each call and its answer wait for the interpreter's lock, and SQLAlchemy would make four for a statement."""
    reader = Reader(file, RequiredTables(file, ()))
    async with reader.snapshot() as snapshot:
        driver: Any = (await snapshot._connection.get_raw_connection()).driver_connection
    execute = driver._execute = mock.AsyncMock(wraps=driver._execute)
    async with reader.snapshot() as snapshot:
        found = [await snapshot.all(text("SELECT :n AS n UNION ALL SELECT 0"), n=n) for n in range(3)]
    assert [[row.n for row in rows] for rows in found] == [[0, 0], [1, 0], [2, 0]]
    assert execute.await_count == 3
    await reader.close()


async def test_a_transaction_sees_one_snapshot_and_ends(file: Sqlite) -> None:
    reader = Reader(file, RequiredTables(file, ()))
    count = text("SELECT count(*) FROM limits")
    with closing(sqlite3.connect(file.file, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        async with reader.snapshot() as snapshot:
            assert await snapshot.one(count) == (0,)
            writer.execute("INSERT INTO limits (name, max, created_at, changed_at) VALUES ('slow', 1, '', '')")
            assert await snapshot.one(count) == (0,)
        async with reader.snapshot() as snapshot:
            assert await snapshot.one(count) == (1,)
    await reader.close()


async def test_a_read_that_was_cancelled_holds_up_no_other(file: Sqlite) -> None:
    reader = Reader(file, RequiredTables(file, ()))
    async with reader.snapshot() as snapshot:
        driver: Any = (await snapshot._connection.get_raw_connection()).driver_connection
    has_begun, may_end = threading.Event(), threading.Event()

    def hold() -> int:
        has_begun.set()
        return int(may_end.wait(60))

    await driver._execute(driver._conn.create_function, "hold", 0, hold)

    async def read() -> None:
        async with reader.snapshot() as snapshot:
            await snapshot.one(text("SELECT hold()"))

    reading = asyncio.create_task(read())
    await asyncio.to_thread(has_begun.wait, 60)
    reading.cancel()
    async with reader.snapshot() as snapshot:  # Another connection answers meanwhile.
        other: Any = (await snapshot._connection.get_raw_connection()).driver_connection
        assert other is not driver
        assert (await snapshot.one(text("SELECT 1"))) == (1,)
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await reading
    async with reader.snapshot() as snapshot:
        assert (await snapshot.one(text("SELECT 1"))) == (1,)
    await reader.close()
