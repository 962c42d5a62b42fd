"""A real store over a real database, a pinned clock, and short ways to start runs and to commit steps."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from service.core.after import after
from service.core.graph import Graph
from service.core.moves import Failed, Succeeded
from service.core.next_move import next_move
from service.core.run import Event, Line, Run, Transition
from service.core.state import State
from service.core.validation import read_graph
from service.store import Store
from service.store.commands.commit import Moved
from service.store.commands.start import Start
from service.store.commands.steps import Chain
from service.store.database.clock import Override, iso
from service.store.database.postgres.connections import Postgres
from service.store.database.protocol import Database
from service.store.database.sqlite.connections import Sqlite
from service.store.rows.keys import Idempotency
from service.store.rows.records import Claimed, Lease
from service.store.schema.models import metadata
from tests.support.postgres import remove_rows
from tests.support.sessions import kept_session

HEAD = "0013"
"""The newest revision of the schema."""
BYTES_MAX = 2**26
LEASE_S = 15.0

COUNTER = read_graph(
    {
        "start_node": "a",
        "nodes": {"a": "add"},
        "edges": {"a": {"to": "a", "condition": {"key": "n", "op": "<", "value": 1000}}},
    },
    ["add"],
)
"""Runs on while `n` is below 1000; fails with condition_error without it."""


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class SettableClock(Clock):
    """One that somebody can set, which takes no time: a monotonic clock beside it tells how much has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        self.passed += seconds

    def set_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def elapsed(self) -> float:
        return self.passed


@asynccontextmanager
async def opened(database: Database, clock: Override | None = None, server_id: str = "one") -> AsyncIterator[Store]:
    elapsed = clock.elapsed if isinstance(clock, SettableClock) else None
    store = Store(
        database, server_id=server_id, address=f"{server_id}:8000", lease_s=LEASE_S, clock=clock, elapsed=elapsed
    )
    store.open()
    try:
        async with asyncio.timeout(300):  # Only against hanging: no test says how long anything takes.
            yield store
    finally:
        assert not store._reader._engine.pool.checkedout(), "a reader was not given back"  # type: ignore[attr-defined]  # QueuePool has it
        await store.close()
        assert not store._writer._thread.is_alive()


async def start(store: Store, run_id: str, graph: Graph = COUNTER, *, tags: dict[str, str] | None = None) -> None:
    """Queue a run of `graph` with the state `{"n": 0}`."""
    await store.graphs.add(graph)
    await store.runs.start(start_of(run_id, graph, tags=tags))


def start_of(
    run_id: str, graph: Graph = COUNTER, *, tags: dict[str, str] | None = None, state: dict[str, Any] | None = None
) -> Start:
    initial = State.of({"n": 0} if state is None else state, BYTES_MAX)
    return Start(run_id, graph.id, initial, tags or {})


def key_of(key: str, digest: str = "body") -> Idempotency:
    return Idempotency("POST /graph/run", key, digest)


async def claim_one(store: Store) -> Claimed:
    [claimed] = await store.leases.claim(10)
    return claimed


async def started(store: Store, run_id: str = "r", graph: Graph = COUNTER) -> Claimed:
    """A run that has just been started and claimed."""
    await start(store, run_id, graph)
    return await claim_one(store)


def success(run: Run, **state: Any) -> Transition:
    """What a tool leads to that leaves exactly `state`."""
    move = next_move(run)
    assert move is not None
    return after(run, move, Succeeded(run.state.changes_to(state, {}, BYTES_MAX)), BYTES_MAX)


def failure(run: Run) -> Transition:
    move = next_move(run)
    assert move is not None
    return after(run, move, Failed("tool_error", "boom"), BYTES_MAX)


async def commit(
    store: Store, lease: Lease, transition: Transition, lines: Sequence[Line] = (), *, at: float | None = None
) -> Run:
    """`at`: when the attempt was made, on the monotonic clock; one in the future is dated at its commit."""
    now = time.monotonic() if at is None else at
    return await store.steps.commit(lease, transition, started=now, finished=now, lines=lines)


def chain_of(store: Store, lease: Lease, moves: Sequence[Transition], lines: Sequence[Line] = ()) -> Chain:
    """Queue transitions as they are made by pure tools, each after `lines`; all are dated at the commit."""
    return store.steps.defer(lease, [moved(made, lines) for made in moves])


def moved(made: Transition, lines: Sequence[Line] = ()) -> Moved:
    later = time.monotonic() + 3600
    return Moved(made, later, later, (*lines, *made.lines))


async def commit_chain(
    store: Store, lease: Lease, moves: Sequence[Transition], lines: Sequence[Line] = ()
) -> Run | None:
    chain = chain_of(store, lease, moves, lines)
    store.steps.hasten(is_alone=False)
    return await chain.future


def successes(run: Run, *states: dict[str, Any]) -> list[Transition]:
    """Successive steps, each leaving one of `states`."""
    made: list[Transition] = []
    for state in states:
        made.append(success(run, **state))
        run = made[-1].run
    return made


async def walk(store: Store, claimed: Claimed, states: Sequence[dict[str, Any]]) -> Run:
    """Commit one step after the other, each leaving one of `states`."""
    run = claimed.run
    for state in states:
        run = await commit(store, claimed.lease, success(run, **state))
    return run


def said(*messages: str) -> list[Line]:
    return [Line(Event.LOG, message) for message in messages]


@contextmanager
def sql(database: Database) -> Iterator[Any]:
    """The database as any SQL client sees it; `?` stands for a parameter."""
    if isinstance(database, Postgres):
        with psycopg.connect(database.conninfo, autocommit=True) as session:
            yield _Asking(session)
        return
    with closing(sqlite3.connect(database.name, isolation_level=None)) as connection:
        yield connection


class _Asking:
    def __init__(self, session: psycopg.Connection[Any]) -> None:
        self.session = session

    def execute(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        return self.session.execute(query.replace("?", "%s"), parameters or None)


@contextmanager
def _asking(database: Database) -> Iterator[Any]:
    """As `sql`, for queries and commands that leave nothing open."""
    if isinstance(database, Postgres):
        with kept_session(database.conninfo) as session:
            yield _Asking(session)
        return
    with sql(database) as connection:
        yield connection


def ask(database: Database, query: str, *parameters: Any) -> list[Any]:
    """Rows, their times as texts."""
    with _asking(database) as session:
        return rows_of(session, query, *parameters)


def rows_of(session: Any, query: str, *parameters: Any) -> list[Any]:
    return [
        tuple(iso(value) if isinstance(value, datetime) else value for value in row)
        for row in session.execute(query, parameters).fetchall()
    ]


def clean(database: Database) -> None:
    """Remove every row of every table."""
    with _asking(database) as session:
        if isinstance(database, Postgres):
            remove_rows(session.session)
            return
        for table in reversed(metadata.sorted_tables):
            session.execute(f"DELETE FROM {table.name}")


def dump(database: Database) -> dict[str, list[Any]]:
    """Every row of every table."""
    with _asking(database) as session:
        return {name: sorted(rows_of(session, f"SELECT * FROM {name}"), key=repr) for name in sorted(metadata.tables)}


@contextmanager
def locked(database: Sqlite) -> Iterator[None]:
    """Another process is writing, and does not end."""
    with sql(database) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def gathering(store: Store) -> Iterator[None]:
    """Whatever is queued within lands in one batch."""
    inside, gate = threading.Event(), threading.Event()

    def wait(_transaction: Any) -> None:
        inside.set()
        assert gate.wait(60)

    busy = store._writer.submit(wait)
    assert inside.wait(60)
    try:
        yield
    finally:
        gate.set()
    busy.result(60)


def until(condition: Callable[[], Any], within_s: float = 60.0) -> Any:
    """What `condition` gives once it is true; a failure where it does not come true in time."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.002)
    return found


async def until_async(condition: Callable[[], Any], within_s: float = 60.0) -> Any:
    """As `until`, while the loop goes on."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.002)
    return found
