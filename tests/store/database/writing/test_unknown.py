"""A COMMIT that failed is unknown, not undone: what it did is found by its key, and is not done twice.

Every command meets every way in which its transaction can break; afterwards the tables hold what one honest
execution leaves, and the command answers what it answers then.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.core.errors import Unavailable
from service.store.database.protocol import Database
from tests.support.store.breaking import (
    Fault,
    breaks,
    broken,
    committed_and_cut_off,
    committed_but_failed,
    cut_off_before,
    ended_by_the_server,
)
from tests.support.store.commands import COMMANDS
from tests.support.store.harness import (
    COUNTER,
    Clock,
    ask,
    clean,
    commit,
    dump,
    gathering,
    key_of,
    opened,
    said,
    start,
    start_of,
    started,
    success,
    until_async,
)


@pytest.fixture
def database(emptied: Database) -> Database:
    return emptied


async def execute(database: Database, command: str, fault: Fault | None = None, *, accompanied: bool = False) -> Any:
    """The command's answer, and then every row: of an execution in which `fault` happens once, or of an honest one."""
    prepare, do = COMMANDS[command]
    async with opened(database, Clock()) as store:
        given = await prepare(store)
        breaking = None
        with gathering(store):
            if fault is not None:
                breaking = breaks(database, store, fault, honest=1)  # What it gathers behind is committed.
            neighbour = store._writer.submit(lambda _: None) if accompanied else None
            done = asyncio.ensure_future(do(store, given))
            await until_async(lambda: len(store._writer._waiting) > accompanied)
        answer = await done
        assert neighbour is None or neighbour.done()
        assert breaking is None or breaking.remaining < 0, "it did not happen"
    return answer, dump(database)


_HONEST: dict[Any, Any] = {}
"""What an honest execution of each command answers and leaves, on each kind of database."""


async def assert_done_once(database: Database, command: str, fault: Fault, *, accompanied: bool = False) -> None:
    key = command, type(database)
    if key not in _HONEST:
        _HONEST[key] = await execute(database, command)
        clean(database)
    answer, rows = _HONEST[key]
    assert any(rows.values())
    again, rows_again = await execute(database, command, fault, accompanied=accompanied)
    # That a graph was new is known only to the execution that was lost.
    assert again == answer or command == "add"
    assert rows_again == rows


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_command_whose_connection_breaks_after_the_commit_is_done_once(
    database: Database, command: str
) -> None:
    await assert_done_once(database, command, committed_and_cut_off)


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_command_whose_connection_breaks_before_the_commit_is_done_once(
    database: Database, command: str
) -> None:
    # PostgreSQL itself ends the session. SQLite has none that could end.
    await assert_done_once(database, command, ended_by_the_server if database.is_shared else cut_off_before)


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_batch_that_was_committed_after_all_is_done_once(database: Database, command: str) -> None:
    await assert_done_once(database, command, committed_but_failed, accompanied=True)


@pytest.mark.parametrize("command", ["advance", "append twice", "claim", "end by a chain", "start with a key"])
async def test_a_batch_whose_connection_breaks_after_the_commit_is_done_once(database: Database, command: str) -> None:
    await assert_done_once(database, command, committed_and_cut_off, accompanied=True)


async def test_a_command_alone_whose_commit_failed_is_unavailable_and_may_be_repeated(database: Database) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        transition = success(claimed.run, n=1)
        breaks(database, store, committed_but_failed)
        with pytest.raises(Unavailable):
            await store.runs.start(start_of("new"), key_of("k"))
        assert await store.runs.start(start_of("another id"), key_of("k")) == ("new", False)
        breaks(database, store, committed_but_failed)
        with pytest.raises(Unavailable):
            await commit(store, claimed.lease, transition, said("once"))
        assert await commit(store, claimed.lease, transition, said("once")) == transition.run
        assert (await store.runs.get("r")).last_seq == 3


async def test_a_command_that_breaks_every_connection_is_refused_and_its_neighbours_are_done(
    database: Database,
) -> None:
    def breaking(transaction: Any) -> None:
        transaction.cursor.connection.close()
        raise broken(database)

    async with opened(database) as store:
        with gathering(store):
            before = asyncio.ensure_future(store.graphs.add(COUNTER))
            await asyncio.sleep(0)
            bad = store._writer.submit(breaking, within_s=60)
            after = asyncio.ensure_future(store.runs.start(start_of("r")))
            await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await asyncio.wrap_future(bad)
        assert (await before, await after) == (True, ("r", True))
    assert ask(database, "SELECT id FROM runs") == [("r",)]


async def test_a_writer_whose_connection_broke_while_idle_does_the_next_command(kept: Database) -> None:
    clean(kept)

    async with opened(kept) as store:
        await start(store, "before")
        ended_by_the_server(kept, store._writer._write_connection.connection)
        await start(store, "after")
    assert ask(kept, "SELECT id FROM runs ORDER BY id") == [("after",), ("before",)]
