"""One run of 1,000 steps, each committed before the next begins, beside plain sqlite3 committing the same rows.

The same run with a tool that is declared as pure is a row of its own: its steps are committed together, up to 5 ms of
them, so it need not wait for the disk after each one, as plain sqlite3 does.

    python benchmarks/steps.py [STEPS] [ROUNDS]

They take turns within each round, on files in one folder, all with synchronous=FULL; the ratios are per round.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from service.core.state import State
from service.core.tool import Tool
from service.core.validation import read_graph
from service.engine.engine import Engine, EngineSettings
from service.process import tune_collector
from service.store import Store
from service.store.commands.start import Start
from service.store.database.opening import database_at
from service.store.database.protocol import Database
from service.store.schema.migrate import migrate

PAYLOAD = "x" * 1024


async def add(state: dict[str, Any]) -> None:
    state["count"] += 1


TOOLS = {"add": Tool.of(add)}
PURE = {"add": Tool.of(add, pure=True)}


def graph_of(steps: int) -> Any:
    again = {"to": "add", "condition": {"key": "count", "op": "<", "value": steps}}
    document = {"start_node": "add", "max_steps": steps + 1, "nodes": {"add": "add"}, "edges": {"add": [again]}}
    return read_graph(document, TOOLS)


def sqlite_in(folder: Path) -> Database:
    return database_at(f"sqlite:///{folder / 'engine.db'}")


async def run_engine(
    database: Database, folder: Path, steps: int, payload: str = PAYLOAD, tools: dict[str, Tool] = TOOLS
) -> float:
    """Seconds from the run's acknowledgement to its end."""
    migrate(database)
    store = Store(database, server_id="bench", address="bench", lease_s=15)
    store.open()
    engine = Engine(store, tools, EngineSettings(folder, 1000, 64, 16 * 2**20, 15))
    tune_collector()  # As every server of ours does at its start.
    engine.start()
    graph = graph_of(steps)
    await store.graphs.add(graph)
    state = State.of({"count": 0, "payload": payload}, 16 * 2**20)
    await store.runs.start(Start("run", graph.id, state, {}))
    # Seldom asked, and timed by the run's own record: a reader at every step would be a cost of its own.
    while (record := await store.runs.get("run")).finished_at is None:  # noqa: ASYNC110  # a hint would be such a reader
        await asyncio.sleep(0.1)
    if (record.status, record.step) != ("completed", steps):
        raise SystemExit(f"the run is {record}")
    begun, ended = (datetime.fromisoformat(moment or "") for moment in (record.created_at, record.finished_at))
    await engine.stop()
    await store.close()
    return (ended - begun).total_seconds()


def rows_of(file: Path) -> list[tuple[str, list[tuple[Any, ...]]]]:
    """What each step of the engine's run wrote, as statements and their rows."""
    with sqlite3.connect(file) as connection:
        return [
            (f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)
            for table, where in (("snapshots", "1"), ("changes", "step > 0"), ("log_lines", "event = 'step_completed'"))
            for rows in [connection.execute(f"SELECT * FROM {table} WHERE {where}").fetchall()]
        ]


def run_raw(folder: Path, steps: int, written: list[tuple[str, list[tuple[Any, ...]]]], template: Path) -> float:
    """Seconds for the same rows, one transaction a step, by nothing but sqlite3."""
    file = folder / "raw.db"
    with sqlite3.connect(template) as source, sqlite3.connect(file) as target:
        source.backup(target)
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    for table in ("snapshots", "changes", "log_lines"):
        connection.execute(f"DELETE FROM {table}" + (" WHERE step > 0" if table == "changes" else ""))
    connection.execute("UPDATE runs SET step = 0, last_seq = 0")
    begun = time.perf_counter()
    for step in range(steps):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "UPDATE runs SET step = ?, last_seq = last_seq + 1, moved_at = ? WHERE id = 'run' AND step = ?",
            (step + 1, "2026-01-01T00:00:00.000Z", step),
        )
        for statement, rows in written:
            connection.execute(statement, rows[step])
        connection.execute("COMMIT")
    seconds = time.perf_counter() - begun
    connection.close()
    return seconds


def growth(folder: Path, steps: int) -> int:
    """Bytes by which the files grow over `steps` steps of a counter beside a constant of 1 MiB."""
    asyncio.run(run_engine(sqlite_in(folder), folder, 1, "x" * 2**20))
    first = sum(path.stat().st_size for path in folder.glob("engine.db*"))
    other = folder / "long"
    other.mkdir()
    asyncio.run(run_engine(sqlite_in(other), other, steps, "x" * 2**20))
    return sum(path.stat().st_size for path in other.glob("engine.db*")) - first


def show(name: str, values: list[float], form: str) -> None:
    print(f"{name:32} median {statistics.median(values):{form}}  min {min(values):{form}}  max {max(values):{form}}")


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    engine, pure, raw = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=".") as name:
            folder = Path(name)
            engine.append(steps / asyncio.run(run_engine(sqlite_in(folder), folder, steps)))
            raw.append(steps / run_raw(folder, steps, rows_of(folder / "engine.db"), folder / "engine.db"))
        with tempfile.TemporaryDirectory(dir=".") as name:
            folder = Path(name)
            pure.append(steps / asyncio.run(run_engine(sqlite_in(folder), folder, steps, tools=PURE)))
    show("engine, steps/s", engine, ",.0f")
    show("engine, pure tool, steps/s", pure, ",.0f")
    show("plain sqlite3, steps/s", raw, ",.0f")
    for name, mine in (("ratio", engine), ("ratio, pure tool", pure)):
        show(name, [each / limit for each, limit in zip(mine, raw, strict=True)], ".2f")
    with tempfile.TemporaryDirectory(dir=".") as name:
        print(f"1 MiB state, 200 steps: the database grew by {growth(Path(name), 200) / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
