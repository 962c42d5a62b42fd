"""Execute a command behind a lock that another session holds, while commands of another run go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from service.store import Store
from service.store.database.protocol import Database
from service.store.rows.records import Claimed
from tests.support.store.carrying import LATER, begun
from tests.support.store.harness import Clock, clean, commit, dump, opened, said, success
from tests.support.store.locking import OTHER, locking
from tests.support.store.servers import until_one_waits

ROUNDS = 5
"""Of commands of the other run, behind each lock."""

Prepare = Callable[[Store], Awaitable[Any]]
Do = Callable[[Store, Any], Awaitable[Any]]

_HONEST: dict[tuple[Prepare, Do], Any] = {}
"""What an execution of each command answers and leaves where nothing is locked."""


async def go_on(store: Store, other: Claimed) -> None:
    """Commands of a run that nobody has locked, one after the other."""
    run = other.run
    for number in range(ROUNDS):
        assert await asyncio.wrap_future(store.logs.append(other.lease, said(f"line {number}")))
        run = await commit(store, other.lease, success(run, n=number), said("at its end"), at=LATER)
        assert await asyncio.wrap_future(store.leases.renew([other.lease])) == []


async def assert_waits_alone(database: Database, prepare: Prepare, do: Do, lock: str) -> None:
    """Assert that a command behind `lock` is done once the lock has gone, and that others go on meanwhile."""
    command = prepare, do
    if command not in _HONEST:
        _HONEST[command] = await _execute(database, prepare, do, None)
        clean(database)
    assert await _execute(database, prepare, do, lock) == _HONEST[command]


async def _execute(database: Database, prepare: Prepare, do: Do, lock: str | None) -> Any:
    """The command's answer, and then every row: behind `lock`, or of an execution where nothing is locked."""
    async with opened(database, Clock()) as store:
        given = await prepare(store)
        other = await begun(store, "other", OTHER)
        if lock is None:
            answer = await do(store, given)
            await go_on(store, other)
        else:
            async with locking(database, lock):
                waiting = asyncio.ensure_future(do(store, given))
                await until_one_waits(database)
                await go_on(store, other)
                assert not waiting.done()
            answer = await waiting
        # A server that stops tries what waits once more, and a vacuum could have the table just then.
        if store.servers._telling is not None:
            await asyncio.wrap_future(store.servers._telling)
    return answer, {table: sorted(rows, key=repr) for table, rows in dump(database).items()}
