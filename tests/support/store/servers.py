"""Several servers over one PostgreSQL, and a write of one that is not committed yet."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from service.store import Store
from service.store.database.protocol import Database
from tests.support.store.harness import (
    ask,
    gathering,
    opened,
    until_async,
)


@asynccontextmanager
async def servers(database: Database, count: int = 2) -> AsyncIterator[list[Store]]:
    async with AsyncExitStack() as stack:
        names = ("one", "two", "three")[:count]
        yield [await stack.enter_async_context(opened(database, server_id=name)) for name in names]


@asynccontextmanager
async def undecided(store: Store, command: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """`command` has been done, in a transaction that stays open within."""
    inside, gate = threading.Event(), threading.Event()

    def wait(_transaction: Any) -> None:
        inside.set()
        assert gate.wait(60)

    with gathering(store):
        task = asyncio.ensure_future(command)
        await until_async(lambda: len(store._writer._waiting))
        held = store._writer.submit(wait)
    await until_async(inside.is_set)
    try:
        yield task
    finally:
        gate.set()
    await asyncio.wrap_future(held)


async def until_one_waits(database: Database) -> None:
    """Until a backend waits for another's lock. A vacuum that waits is none of ours."""
    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        " AND backend_type = 'client backend'"
    )
    await until_async(lambda: ask(database, waiting))
