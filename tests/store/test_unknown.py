"""A COMMIT that failed is unknown, not undone: what it did is found by its key, and is not done twice.

Every verb meets every way in which its transaction can break; afterwards the tables hold what one honest
execution leaves, and the verb answers what it answers then.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psycopg
import pytest

from service.core.errors import Unavailable
from service.store import Store
from service.store.database.opening import database_at
from service.store.database.postgres.connections import Postgres
from service.store.database.protocol import Database
from tests.postgres import Databases
from tests.store.carrying import LATER
from tests.store.control_verbs import CONTROL_VERBS
from tests.store.support import (
    COUNTER,
    Clock,
    ask,
    clean,
    commit,
    dump,
    failure,
    gathering,
    key_of,
    opened,
    said,
    sql,
    start,
    start_of,
    started,
    success,
    until_async,
)

Given = Any
Verb = Callable[[Store, Given], Awaitable[Any]]


@pytest.fixture(scope="module")
def kept(postgres: Databases) -> Iterator[Database]:
    url = postgres.migrated()
    yield database_at(url)
    postgres.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    if request.param == "sqlite":
        found: Database = request.getfixturevalue("file")
        return found
    found = request.getfixturevalue("kept")
    clean(found)
    return found


# What each verb finds, and what is asked of it.


async def nothing(_store: Store) -> Given:
    return []


async def a_graph(store: Store) -> Given:
    await store.graphs.add(COUNTER)
    return []


async def two_runs_due(store: Store) -> Given:
    for name in ("r", "s"):
        await start(store, name)
    return []


async def a_claim(store: Store) -> Given:
    return [await started(store, "r")]


async def a_takeover(store: Store) -> Given:
    """Of a run whose server died in the middle of an attempt."""
    await started(store, "r")
    await store.leases.seize()
    return await store.leases.claim(1)


async def run_to_its_end(store: Store, given: Given) -> Any:
    return await commit(store, given[0].lease, success(given[0].run, n=1000), said("once"), at=LATER)


async def advance(store: Store, given: Given) -> Any:
    return await commit(store, given[0].lease, success(given[0].run, n=1, x=[1.0]), said("a", "b"), at=LATER)


async def fail(store: Store, given: Given) -> Any:
    return await commit(store, given[0].lease, failure(given[0].run), said("once"), at=LATER)


async def append(store: Store, given: Given) -> bool:
    return await asyncio.wrap_future(store.logs.append(given[0].lease, said("a", "b", "c")))


async def append_twice(store: Store, given: Given) -> Any:
    """The same lines twice in one batch are lines twice."""
    return await asyncio.gather(append(store, given), append(store, given))


async def append_then_advance(store: Store, given: Given) -> Any:
    return await asyncio.gather(append(store, given), advance(store, given))


async def renew(store: Store, given: Given) -> Any:
    return await asyncio.wrap_future(store.leases.renew([given[0].lease]))


VERBS: dict[str, tuple[Callable[[Store], Awaitable[Given]], Verb]] = {
    "add": (nothing, lambda store, _: store.graphs.add(COUNTER)),
    "start": (a_graph, lambda store, _: store.runs.start(start_of("r", tags={"a": "b"}))),
    "start with a key": (a_graph, lambda store, _: store.runs.start(start_of("r", tags={"a": "b"}), key_of("k"))),
    "claim": (two_runs_due, lambda store, _: store.leases.claim(10)),
    "claim one of two": (two_runs_due, lambda store, _: store.leases.claim(1)),
    "begin": (a_takeover, lambda store, given: store.leases.begin(given[0].lease)),
    "renew": (a_claim, renew),
    "release": (a_claim, lambda store, given: store.leases.release(given[0].lease, interrupted=False)),
    "interrupt": (a_claim, lambda store, given: store.leases.release(given[0].lease, interrupted=True)),
    "advance": (a_claim, advance),
    "end": (a_claim, run_to_its_end),
    "fail": (a_claim, fail),
    "append": (a_claim, append),
    "append twice": (a_claim, append_twice),
    "append, then advance": (a_claim, append_then_advance),
    "join": (a_graph, lambda store, _: store.servers.join()),
    "share": (a_graph, lambda store, _: store.servers.share(10, 3)),
    "seize": (a_claim, lambda store, _: store.leases.seize()),
    **CONTROL_VERBS,
}


# How a transaction breaks.

Fault = Callable[[Database, Any], None]


class Breaking:
    """A writing connection that does at one COMMIT, after `honest` others, what `fault` says."""

    def __init__(self, database: Database, connection: Any, fault: Fault, honest: int) -> None:
        self._database = database
        self._connection = connection
        self._fault = fault
        self.remaining = honest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, text: str, *rest: Any) -> Any:
        if text == "COMMIT":
            self.remaining -= 1
            if self.remaining == -1:
                self._fault(self._database, self._connection)
        return self._connection.execute(text, *rest)


def broken(database: Database) -> Exception:
    error = psycopg.OperationalError if isinstance(database, Postgres) else sqlite3.OperationalError
    return error("the connection was lost")


def committed_but_failed(database: Database, connection: Any) -> None:
    connection.execute("COMMIT")
    raise broken(database)


def committed_and_cut_off(database: Database, connection: Any) -> None:
    connection.execute("COMMIT")
    connection.close()
    raise broken(database)


def cut_off_before(database: Database, connection: Any) -> None:
    connection.rollback()  # SQLite keeps the lock of a connection that is closed amid a statement.
    connection.close()
    raise broken(database)


def ended_by_the_server(database: Database, connection: psycopg.Connection[Any]) -> None:
    """The COMMIT that follows finds nobody."""
    with sql(database) as session:
        asked = session.execute("SELECT pg_terminate_backend(?, 5000)", (connection.info.backend_pid,))
        assert asked.fetchone() == (True,)


def breaks(database: Database, store: Store, fault: Fault, honest: int = 0) -> Breaking:
    breaking = Breaking(database, store._writer._writing.connection, fault, honest)
    store._writer._writing.connection = breaking
    return breaking


async def execute(database: Database, verb: str, fault: Fault | None = None, *, accompanied: bool = False) -> Any:
    """The verb's answer, and then every row: of an execution in which `fault` happens once, or of an honest one."""
    prepare, do = VERBS[verb]
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


async def assert_done_once(database: Database, verb: str, fault: Fault, *, accompanied: bool = False) -> None:
    answer, rows = await execute(database, verb)
    assert any(rows.values())
    clean(database)
    again, rows_again = await execute(database, verb, fault, accompanied=accompanied)
    # That a graph was new is known only to the execution that was lost.
    assert again == answer or verb == "add"
    assert rows_again == rows


@pytest.mark.parametrize("fault", [committed_and_cut_off, cut_off_before], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_whose_connection_breaks_is_done_once(database: Database, verb: str, fault: Fault) -> None:
    asyncio.run(assert_done_once(database, verb, fault))


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_whose_backend_postgresql_ends_is_done_once(kept: Database, verb: str) -> None:
    clean(kept)
    asyncio.run(assert_done_once(kept, verb, ended_by_the_server))


@pytest.mark.parametrize("fault", [committed_but_failed, committed_and_cut_off], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("verb", VERBS)
def test_a_batch_that_was_committed_after_all_is_done_once(database: Database, verb: str, fault: Fault) -> None:
    asyncio.run(assert_done_once(database, verb, fault, accompanied=True))


def test_a_verb_alone_whose_commit_failed_is_unavailable_and_may_be_repeated(database: Database) -> None:
    async def scenario() -> None:
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

    asyncio.run(scenario())


def test_a_verb_that_breaks_every_connection_is_refused_and_its_neighbours_are_done(database: Database) -> None:
    def breaking(transaction: Any) -> None:
        transaction.cursor.connection.close()
        raise broken(database)

    async def scenario() -> None:
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

    asyncio.run(scenario())


def test_a_writer_whose_connection_broke_while_idle_does_the_next_verb(kept: Database) -> None:
    clean(kept)

    async def scenario() -> None:
        async with opened(kept) as store:
            await start(store, "before")
            ended_by_the_server(kept, store._writer._writing.connection)
            await start(store, "after")
        assert ask(kept, "SELECT id FROM runs ORDER BY id") == [("after",), ("before",)]

    asyncio.run(scenario())
