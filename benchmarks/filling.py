"""Databases as they are after long use: rows as the engine wrote them for a few runs, multiplied by plain SQL.

Nothing is analysed afterwards but by PostgreSQL's autovacuum: nobody else does so in production either.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from service.core.state import State
from service.core.tool import Tool
from service.core.validation import read_graph
from service.engine.engine import Engine, EngineSettings
from service.store import Store
from service.store.commands.start import Start
from service.store.database.opening import database_at
from service.store.database.protocol import Database
from service.store.schema.migrate import migrate
from service.store.schema.models import attempts, changes, log_lines, run_tags, runs, snapshots

STATE = {"count": 0, "payload": "x" * 100}
STATE_BYTES_MAX = 2**20
STEPS = 3
TEAMS = 4
"""Each run has one of so many tags."""
LEASE_S = 3600
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = ("completed", "failed", "paused", "queued")
MULTIPLIED = (runs, run_tags, changes, snapshots, attempts, log_lines)


async def add(state: dict[str, Any]) -> None:
    state["count"] += 1


async def fail(state: dict[str, Any]) -> None:
    raise ValueError(f"count is {state['count']}")


TOOLS = {"add": Tool.of(add), "fail": Tool.of(fail)}


def graph_of(kind: str) -> Any:
    """One on which a run ends as `kind`; all but the failing one are the same."""
    again = {"to": "add", "condition": {"key": "count", "op": "<", "value": STEPS}}
    edges = {"add": [again, {"to": "fail"}] if kind == "failed" else [again]}
    nodes = {"add": "add", "fail": "fail"} if kind == "failed" else {"add": "add"}
    limit = STEPS - 1 if kind == "paused" else 100
    return read_graph({"start_node": "add", "max_steps": limit, "nodes": nodes, "edges": edges}, TOOLS)


GRAPHS = {kind: graph_of(kind) for kind in KINDS}


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


def fill(url: str, numbers: Iterable[tuple[int, str]]) -> None:
    """Make the schema and a run for each number and kind, in the order of their creation."""
    database = database_at(url)
    migrate(database)
    asyncio.run(_make_templates(database))
    given = ((number, run_id_of(number), f"team:{number % TEAMS}", kind) for number, kind in numbers)
    made = ((run_id, created_at(number), tag, f'{{"team":"{number % TEAMS}"}}', k) for number, run_id, tag, k in given)
    if database.dialect == "sqlite":
        _fill_sqlite(Path(database.name), made)
    else:
        _fill_postgres(url, made)


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
    await store.runs.start(Start(run_id, GRAPHS[kind].id, state, {"team": "0"}))


async def _make_templates(database: Database) -> None:
    """One run of each kind, whose id is its kind."""
    async with opened(database) as store:
        for kind in KINDS:
            await store.graphs.add(GRAPHS[kind])
        engine = Engine(store, TOOLS, EngineSettings(Path(), 10, 1, STATE_BYTES_MAX, LEASE_S))
        engine.start()
        for kind in KINDS[:3]:
            await start(store, kind, kind)
            while (await store.runs.get(kind)).status != kind:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await engine.stop()
        await start(store, "queued")


def _copies() -> Iterator[str]:
    """Statements that multiply the templates; the rows of a run come together, in the order of their keys."""
    own = {"id": "made.id", "run_id": "made.id", "created_at": "made.created_at", "tag": "made.tag"}
    for table in MULTIPLIED:
        columns = {column.name: own.get(column.name, f"t.{column.name}") for column in table.c}
        if table is runs:
            due = "CASE WHEN t.due_at IS NULL THEN NULL ELSE made.created_at END"
            columns |= {"tags": "made.tags", "due_at": due}
        owner = "id" if table is runs else "run_id"
        order = [f"t.{column.name}" for column in table.primary_key if column.name in ("key", "step", "seq", "attempt")]
        yield f"CREATE TEMPORARY TABLE t_{table.name} AS SELECT * FROM {table.name}"
        yield (
            f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {', '.join(columns.values())}"
            f" FROM made CROSS JOIN t_{table.name} t WHERE t.{owner} = made.kind"
            f" ORDER BY {', '.join(['made.number', *order])}"
        )
    for table in reversed(MULTIPLIED):
        kinds = ", ".join(f"'{kind}'" for kind in KINDS)
        yield f"DELETE FROM {table.name} WHERE {'id' if table is runs else 'run_id'} IN ({kinds})"


MADE = (
    "CREATE TEMPORARY TABLE made"
    " (number INTEGER PRIMARY KEY, id TEXT, created_at {time}, tag TEXT, tags TEXT, kind TEXT)"
)


# A table that has grown over time has been analysed many times; after a load at once, that takes a moment.
UNSEEN_BY_AUTOVACUUM = """\
SELECT relname FROM pg_stat_user_tables
WHERE relname IN ('runs', 'run_tags', 'changes', 'snapshots', 'log_lines')
    AND (last_autoanalyze IS NULL OR n_mod_since_analyze > 100 + 0.2 * n_live_tup)"""


def _fill_sqlite(file: Path, made: Iterable[tuple[str, ...]]) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    # Nobody else is there, and what is lost is made again.
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -500000", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    connection.execute(MADE.format(time="TEXT"))
    connection.executemany("INSERT INTO made (id, created_at, tag, tags, kind) VALUES (?, ?, ?, ?, ?)", made)
    for statement in _copies():
        connection.execute(statement)
    connection.execute("COMMIT")
    connection.close()


def _fill_postgres(url: str, made: Iterable[tuple[str, ...]]) -> None:
    import psycopg

    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # Foreign keys are not asked.
        cursor.execute("CREATE SEQUENCE made_number")
        cursor.execute(MADE.format(time="timestamptz").replace("KEY,", "KEY DEFAULT nextval('made_number'),").encode())
        with cursor.copy("COPY made (id, created_at, tag, tags, kind) FROM STDIN") as copy:
            for row in made:
                copy.write_row(row)
        for statement in _copies():
            cursor.execute(statement.encode())
        cursor.execute("DROP TABLE made; DROP SEQUENCE made_number")
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(UNSEEN_BY_AUTOVACUUM).fetchone():
            time.sleep(0.5)
