"""Databases as they are after long use: rows as the engine wrote them for a few runs, multiplied by plain SQL.

Nothing is analysed afterwards but by PostgreSQL's autovacuum: nobody else does so in production either.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from service.core.state import State
from service.core.tool import Tool
from service.core.validation import read_graph
from service.engine.engine import Engine, EngineSettings
from service.store import Store
from service.store.commands.start import Start
from service.store.database.opening import database_at
from service.store.database.protocol import Database
from service.store.schema.migrate import migrate
from service.store.schema.models import attempts, changes, log_lines, run_tags, runs, snapshots, waits

STATE = {"count": 0, "payload": "x" * 100}
STATE_BYTES_MAX = 2**20
STEPS = 3
TEAMS = 4
"""Each run has one of so many tags."""
ORDERS = 10
"""As many runs share a tag that is rare."""
VERSIONS = 20
"""Graphs of one name."""
VERSIONED_EVERY, CHILD_EVERY = 10, 5
CHILDREN = 1000
"""The most children of one run."""
LONG_STEPS = 10_000
LONG_ID = "01900000-0000-7000-8000-000000000000"
FAR_S = 10**8
LEASE_S = 3600
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = ("completed", "failed", "paused", "signal", "sleep", "queued")
STATUSES = {"signal": "waiting", "sleep": "waiting"}
MULTIPLIED = (runs, run_tags, changes, snapshots, attempts, log_lines, waits)


class Copy(NamedTuple):
    """A run to be made: a copy of the run of its kind."""

    number: int
    kind: str
    version: int | None = None
    """Of the graph with versions. None: the graph of its kind."""
    parent: int | None = None


def tools_of(log_lines_of_step: int = 0) -> dict[str, Tool]:
    """Return the tools. A step of `add` writes so many log lines beside its own."""

    async def add(state: dict[str, Any], context: Any) -> None:
        state["count"] += 1
        for number in range(log_lines_of_step):
            context.log(f"row {number} of {log_lines_of_step}: count is {state['count']}", row=number)

    async def fail(state: dict[str, Any]) -> None:
        raise ValueError(f"count is {state['count']}")

    return {"add": Tool.of(add), "fail": Tool.of(fail)}


TOOLS = tools_of()


def graph_of(kind: str) -> Any:
    """Return a graph on which a run ends as `kind`."""
    last = {"failed": "fail", "signal": {"signal": "go"}, "sleep": {"sleep": FAR_S}}.get(kind)
    again = {"to": "add", "condition": {"key": "count", "op": "<", "value": STEPS}}
    document: dict[str, Any] = {"name": "load", "start_node": "add", "max_steps": 100}
    document |= {"nodes": {"add": "add"}, "edges": {"add": [again]}}
    if last is not None:
        document |= {"name": kind, "nodes": {"add": "add", "last": last}, "edges": {"add": [again, {"to": "last"}]}}
    elif kind == "paused":
        document["max_steps"] = STEPS - 1
    return read_graph(document, TOOLS)


def version_of(number: int) -> Any:
    again = {"to": "add", "condition": {"key": "count", "op": "<", "value": STEPS}}
    nodes, edges = {"add": "add"}, {"add": [again]}
    document = {"name": "versions", "start_node": "add", "max_steps": 100 + number, "nodes": nodes, "edges": edges}
    return read_graph(document, TOOLS)


def long_graph() -> Any:
    """Return the graph of the run of LONG_STEPS steps, which turns in a loop of two nodes."""
    again = {"to": "add", "condition": {"key": "count", "op": "<", "value": LONG_STEPS // 2}}
    nodes = {"add": "add", "check": "check"}
    edges = {"add": "check", "check": [again]}
    document = {"name": "long", "start_node": "add", "max_steps": LONG_STEPS * 2, "nodes": nodes, "edges": edges}
    return read_graph(document, {*TOOLS, "check"})


GRAPHS = {kind: graph_of(kind) for kind in KINDS}
GRAPHS_OF_VERSIONS = [version_of(number) for number in range(VERSIONS)]


def run_id_of(number: int) -> str:
    """The id of the run that was made as the `number`th, a second after the one before: a UUID of version 7."""
    millis = int((BEGAN + timedelta(seconds=number)).timestamp() * 1000)
    chance = number * 0x9E3779B97F4A7C15 % 2**62
    digits = f"{millis:012x}7{number % 4096:03x}{chance | 2 << 62:016x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def kinds(count: int, *, scattered: bool = False) -> Iterator[tuple[int, str]]:
    """Of a hundred runs one has failed, one is paused and one waits to be claimed; all others are over.

    Those that wait are the newest, as in a backlog, unless they are `scattered` among the others.
    """
    for number in range(count):
        waits = number % 100 == 2 if scattered else number >= count - count // 100
        yield number, "queued" if waits else {0: "failed", 1: "paused"}.get(number % 100, "completed")


def after_years(count: int) -> Iterator[Copy]:
    """Yield runs of all kinds: graphs with versions, children, runs that wait for a signal or sleep, and a backlog."""
    some = {0: "failed", 1: "paused", 2: "signal", 3: "sleep"}
    for number in range(count):
        kind = "queued" if number >= count - count // 1000 else some.get(number % 100, "completed")
        version = number // VERSIONED_EVERY % VERSIONS if kind == "completed" and not number % VERSIONED_EVERY else None
        group = number // (CHILDREN * CHILD_EVERY) * (CHILDREN * CHILD_EVERY)
        parent = group if number % CHILD_EVERY == 4 and kind == "completed" else None
        yield Copy(number, kind, version, parent)


def fill(url: str, copies: Iterable[tuple[Any, ...]], *, log_lines_of_step: int = 0, with_long: bool = False) -> None:
    """Make the schema and the runs, given in the order of their creation as Copy or its first fields."""
    database = database_at(url)
    migrate(database)
    asyncio.run(_make_templates(database, log_lines_of_step, with_long=with_long))
    made = (_row(Copy(*each)) for each in copies)
    if database.dialect == "sqlite":
        _fill_sqlite(Path(database.name), made)
    else:
        _fill_postgres(url, made)


MADE_COLUMNS = ("id", "created_at", "team", "order_tag", "tags", "kind", "graph_id", "parent_id", "child_number")


def _row(copy: Copy) -> tuple[Any, ...]:
    """Return the MADE_COLUMNS of a run."""
    number, graph = copy.number, GRAPHS[copy.kind] if copy.version is None else GRAPHS_OF_VERSIONS[copy.version]
    team, order = number % TEAMS, number // ORDERS
    tags = f'{{"team":"{team}","order":"{order}"}}'
    family = (None, None) if copy.parent is None else (run_id_of(copy.parent), number)
    return (run_id_of(number), created_at(number), f"team:{team}", f"order:{order}", tags, copy.kind, graph.id, *family)


def created_at(number: int) -> str:
    return (BEGAN + timedelta(seconds=number)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@asynccontextmanager
async def opened(database: Database) -> AsyncIterator[Store]:
    store = Store(database, server_id="bench", address="bench", lease_s=LEASE_S)
    store.open()
    try:
        yield store
    finally:
        await store.close()


async def start(store: Store, run_id: str, kind: str = "queued") -> None:
    state = State.of(STATE, STATE_BYTES_MAX)
    await store.runs.start(Start(run_id, GRAPHS[kind].id, state, {"team": "0", "order": "0"}))


async def _make_templates(database: Database, log_lines_of_step: int, *, with_long: bool) -> None:
    """Make one run of each kind, whose id is its kind, and if asked the long one."""

    async def check(state: dict[str, Any]) -> None:
        state["checked"] = state["count"] % 7

    tools = tools_of(log_lines_of_step) | {"check": Tool.of(check)}
    async with opened(database) as store:
        for graph in (*GRAPHS.values(), *GRAPHS_OF_VERSIONS, long_graph()):
            await store.graphs.add(graph)
        with tempfile.TemporaryDirectory() as folder:
            engine = Engine(store, tools, EngineSettings(Path(folder), 10, 1, STATE_BYTES_MAX, LEASE_S))
            engine.start()
            if with_long:
                state = State.of(STATE, STATE_BYTES_MAX)
                await store.runs.start(Start(LONG_ID, long_graph().id, state, {"team": "0"}))
                await _until(store, LONG_ID, "completed")
            for kind in KINDS[:-1]:
                await start(store, kind, kind)
                await _until(store, kind, STATUSES.get(kind, kind))
            await engine.stop()
        await start(store, "queued")


async def _until(store: Store, run_id: str, status: str) -> None:
    while (await store.runs.get(run_id)).status != status:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


def _copies() -> Iterator[str]:
    """Statements that multiply the templates; the rows of a run come together, in the order of their keys."""
    tag = "CASE WHEN t.tag LIKE 'team:%' THEN made.team ELSE made.order_tag END"
    own = {"id": "made.id", "run_id": "made.id", "created_at": "made.created_at", "tag": tag}
    is_child = "CASE WHEN made.parent_id IS NOT NULL THEN"
    for table in MULTIPLIED:
        columns = {column.name: own.get(column.name, f"t.{column.name}") for column in table.c}
        if table is runs:
            due = "CASE WHEN t.status = 'queued' THEN made.created_at ELSE t.due_at END"
            columns |= {"tags": "made.tags", "due_at": due, "graph_id": "made.graph_id", "parent_id": "made.parent_id"}
            columns |= {"child_number": "made.child_number", "depth": f"{is_child} 1 ELSE 0 END"}
            columns |= {"parent_step": f"{is_child} 1 END", "parent_attempt": f"{is_child} 1 END"}
        owner = "id" if table is runs else "run_id"
        order = [f"t.{column.name}" for column in table.primary_key if column.name in ("key", "step", "seq", "attempt")]
        yield f"CREATE TEMPORARY TABLE t_{table.name} AS SELECT * FROM {table.name} WHERE {owner} IN ({TEMPLATES})"
        yield (
            f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {', '.join(columns.values())}"
            f" FROM made CROSS JOIN t_{table.name} t WHERE t.{owner} = made.kind"
            f" ORDER BY {', '.join(['made.number', *order])}"
        )
    for table in reversed(MULTIPLIED):
        yield f"DELETE FROM {table.name} WHERE {'id' if table is runs else 'run_id'} IN ({TEMPLATES})"


TEMPLATES = ", ".join(f"'{kind}'" for kind in KINDS)
MADE = (
    "CREATE TEMPORARY TABLE made (number INTEGER PRIMARY KEY, id TEXT, created_at {time}, team TEXT, order_tag TEXT,"
    " tags TEXT, kind TEXT, graph_id TEXT, parent_id TEXT, child_number INTEGER)"
)


# A table that has grown over time has been analysed many times; after a load at once, that takes a moment.
UNSEEN_BY_AUTOVACUUM = """\
SELECT relname FROM pg_stat_user_tables
WHERE relname IN ('runs', 'run_tags', 'changes', 'snapshots', 'log_lines')
    AND (last_autoanalyze IS NULL OR n_mod_since_analyze > 100 + 0.2 * n_live_tup)"""


def _fill_sqlite(file: Path, made: Iterable[tuple[Any, ...]]) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    # Nobody else is there, and what is lost is made again.
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -500000", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    connection.execute(MADE.format(time="TEXT"))
    values = ", ".join("?" * len(MADE_COLUMNS))
    connection.executemany(f"INSERT INTO made ({', '.join(MADE_COLUMNS)}) VALUES ({values})", made)
    for statement in _copies():
        connection.execute(statement)
    connection.execute("COMMIT")
    connection.close()


def _fill_postgres(url: str, made: Iterable[tuple[Any, ...]]) -> None:
    import psycopg

    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # Foreign keys are not asked.
        cursor.execute("CREATE SEQUENCE made_number")
        cursor.execute(MADE.format(time="timestamptz").replace("KEY,", "KEY DEFAULT nextval('made_number'),").encode())
        with cursor.copy(f"COPY made ({', '.join(MADE_COLUMNS)}) FROM STDIN".encode()) as copy:
            for row in made:
                copy.write_row(row)
        for statement in _copies():
            cursor.execute(statement.encode())
        cursor.execute("DROP TABLE made; DROP SEQUENCE made_number")
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(UNSEEN_BY_AUTOVACUUM).fetchone():
            time.sleep(0.5)
