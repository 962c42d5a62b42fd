"""The engine on PostgreSQL, beside plain psycopg committing the same rows, and shared by several servers.

    python benchmarks/postgres.py [ROUNDS]

A PostgreSQL of its own on a file system, with fsync and synchronous_commit on. All take turns within each round.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
from steps import PAYLOAD, graph_of, run_engine, show

from service.core.state import State
from service.store import Store
from service.store.commands.start import Start
from service.store.database.opening import database_at
from service.store.database.protocol import Database
from tests.support.postgres import Databases, own_server

STEPS = 1000
RUNS, STEPS_EACH = 1000, 10
TOOLS = """
from service import tool


@tool
async def add(state):
    state["count"] += 1
"""


def rows_of(url: str) -> list[tuple[str, list[tuple[Any, ...]]]]:
    """What each step of the engine's run wrote, as statements and their rows."""
    with psycopg.connect(url) as connection:
        return [
            (f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(rows[0]))})", rows)
            for table, where in (
                ("snapshots", "true"),
                ("changes", "step > 0"),
                ("log_lines", "event = 'step_completed'"),
            )
            for rows in [connection.execute(f"SELECT * FROM {table} WHERE {where} ORDER BY 1, 2, 3").fetchall()]
        ]


def run_raw(url: str, written: list[tuple[str, list[tuple[Any, ...]]]]) -> float:
    """Seconds for the same rows, one transaction a step, by nothing but psycopg."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM snapshots; DELETE FROM changes WHERE step > 0; DELETE FROM log_lines")
        connection.execute("UPDATE runs SET step = 0, last_seq = 0")
        connection.execute("VACUUM ANALYZE")
        begun = time.perf_counter()
        for step in range(STEPS):
            with connection.transaction():
                connection.execute(
                    "UPDATE runs SET step = %s, last_seq = last_seq + 1, moved_at = clock_timestamp()"
                    " WHERE id = 'run' AND step = %s",
                    (step + 1, step),
                )
                for statement, rows in written:
                    connection.execute(statement, rows[step])
        return time.perf_counter() - begun


async def start_runs(database: Database) -> None:
    store = Store(database, server_id="starter", address="starter", lease_s=15)
    store.open()
    graph = graph_of(STEPS_EACH)
    await store.graphs.add(graph)
    state = State.of({"count": 0, "payload": PAYLOAD}, 2**20)
    await asyncio.gather(*(store.runs.start(Start(f"r{number}", graph.id, state, {})) for number in range(RUNS)))
    await store.close()


def run_servers(url: str, folder: Path, count: int) -> float:
    """Steps per second, from the first claim to the last commit, of runs that wait when the servers start."""
    asyncio.run(start_runs(database_at(url)))
    (folder / "tools.py").write_text(TOOLS)
    command = [sys.executable, "-m", "service", "engine", "--tools", "tools.py", "--database-url", url]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    servers = [subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) for _ in range(count)]
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            done = "SELECT count(*) FILTER (WHERE status = 'completed') = count(*) FROM runs"
            while not connection.execute(done).fetchall()[0][0]:
                time.sleep(0.1)
            took = "SELECT extract(epoch FROM max(finished_at) - min(started_at))::float FROM runs"
            seconds: float = connection.execute(took).fetchall()[0][0]
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait()
    return RUNS * STEPS_EACH / seconds


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    engine, raw, one, three = [], [], [], []
    with own_server(max_connections="200") as server, tempfile.TemporaryDirectory(dir=".") as name:
        made = Databases(server.url)
        for _ in range(rounds):
            url = made.empty()
            engine.append(STEPS / asyncio.run(run_engine(database_at(url), Path(name), STEPS)))
            raw.append(STEPS / run_raw(url, rows_of(url)))
            one.append(run_servers(made.migrated(), Path(name), 1))
            three.append(run_servers(made.migrated(), Path(name), 3))
    show("one run, engine, steps/s", engine, ",.0f")
    show("one run, plain psycopg, steps/s", raw, ",.0f")
    show("ratio", [mine / limit for mine, limit in zip(engine, raw, strict=True)], ".2f")
    show("1,000 runs, 1 server, steps/s", one, ",.0f")
    show("1,000 runs, 3 servers, steps/s", three, ",.0f")
    show("ratio", [more / less for more, less in zip(three, one, strict=True)], ".2f")


if __name__ == "__main__":
    main()
