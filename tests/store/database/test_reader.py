"""The reader gives back every connection, however its tasks end."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from service.store.database.protocol import Database
from service.store.database.reader import Reader, Snapshot
from service.store.database.required_tables import RequiredTables


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
