"""Measure what a prune of nine tenths of all runs costs a busy server, and check that a kill leaves nothing half done.

    python benchmarks/pruning.py [--runs 1000000] [--rounds 5] [--lines 5] [--postgres] [--copy FILE]

A server executes BUSY runs without an end beside finished runs of three steps; `--lines` are the lines that each of
these steps wrote beside its own. In each round the server is left alone for a while and then prunes for a while. Then
it is killed while it prunes, and `rungraph prune` does the rest with the next one. `--copy` takes a copy of a SQLite
database that `million.py` has made, which saves the time to fill one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from support import filling
from support.ours import HERE, Server, databases, new_folder, serve

from service.store.schema.models import TABLES_OF_RUNS

BUSY = 50
WINDOW_S, SETTLE_S = 15.0, 6.0
TOOLS = """
from service import tool


@tool
async def add(state):
    state["count"] += 1
"""
LOOP = {"start_node": "add", "max_steps": 10**9, "nodes": {"add": "add"}, "edges": {"add": "add"}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lines", type=int, default=5)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--copy", type=Path)
    given = parser.parse_args()
    with databases(given.postgres) as made, new_folder() as folder:
        url = made.empty() if made else f"sqlite:///{folder / 'rungraph.db'}"
        if given.copy:
            shutil.copy(given.copy, folder / "rungraph.db")
        else:
            kinds = ((number, "completed") for number in range(given.runs))
            filling.fill(url, kinds, log_lines_of_step=given.lines)
        stay(url, given.runs // 10)
        print(f"{count_of(url, 'runs'):,} runs, {size_of(url) / 2**20:,.0f} MiB", flush=True)
        measure(given, folder, url)


def stay(url: str, count: int) -> None:
    """Let the newest `count` runs have ended just now, so that a rule of one hour keeps them."""
    ask(url, "UPDATE runs SET finished_at = '2026-01-01T00:00:00.000Z' WHERE finished_at IS NOT NULL")
    newest = f"SELECT id FROM runs ORDER BY created_at DESC LIMIT {count}"
    ask(
        url,
        f"UPDATE runs SET finished_at = '2100-01-01T00:00:00.000Z' WHERE finished_at IS NOT NULL AND id IN ({newest})",
    )


def measure(given: argparse.Namespace, folder: Path, url: str) -> None:
    """Compare the steps without and beside a prune, kill the server, prune the rest and check what is left."""
    with serve(folder, url, tools=TOOLS) as server:
        graph_id = server.post("/graph/create", LOOP)["graph_id"]
        for _ in range(BUSY):
            server.post("/graph/run", {"graph_id": graph_id, "initial_state": {"count": 0}})
        show([compare(server) for _ in range(given.rounds)])
        with Pruning(server):
            time.sleep(3)
            server.kill()
    print(f"killed with {count_of(url, 'deletions'):,} runs marked")
    with serve(folder, url, tools=TOOLS) as server:
        time.sleep(SETTLE_S)
        before, _ = rates(server)
        beside = prune_all(server, folder)
        size = size_of(url)
        after, _ = rates(server)
        print(f"then the database grew by {(size_of(url) - size) / 2**20:.1f} MiB in {WINDOW_S:.0f} s")
        print(f"{before:,.0f} steps/s before the whole prune, {beside:,.0f} beside it, {after:,.0f} after it")
    check(url)


def compare(server: Server) -> tuple[float, float]:
    """Return the steps beside a prune as a part of those without it: per second, and per second of processor time."""
    time.sleep(SETTLE_S)
    without, without_cpu = rates(server)
    with Pruning(server) as pruning:
        time.sleep(1)
        before, begun = pruning.done, time.monotonic()
        beside, beside_cpu = rates(server)
        rate = (pruning.done - before) / (time.monotonic() - begun)
    ratio = beside / without
    print(f"{without:,.0f} steps/s; beside a prune of {rate:,.0f} runs/s {beside:,.0f}: {ratio:.3f}", flush=True)
    return ratio, beside_cpu / without_cpu


def prune_all(server: Server, folder: Path) -> float:
    """Delete all runs that are over by the terminal's command. Return the steps per second meanwhile."""
    begun, before = time.monotonic(), steps_of(server)
    command = [
        sys.executable,
        "-m",
        "service",
        "prune",
        "--older-than",
        "1h",
        "--url",
        f"http://127.0.0.1:{server.port}",
    ]
    subprocess.run(command, check=True, cwd=folder, env={**os.environ, "PYTHONPATH": str(HERE.parent)})
    took = time.monotonic() - begun
    print(f"in {took:.0f} s", flush=True)
    return (steps_of(server) - before) / took


def check(url: str) -> None:
    """Nothing of a deleted run is left, and nothing of another is gone."""
    for table in TABLES_OF_RUNS:
        lost = count_of(url, f"{table.name} WHERE run_id NOT IN (SELECT id FROM runs)")
        if lost:
            raise SystemExit(f"{lost:,} rows of {table.name} belong to no run")
    holes = "(SELECT run_id FROM log_lines GROUP BY run_id HAVING count(*) <> max(seq)) AS holes"
    short = "runs WHERE last_seq <> (SELECT count(*) FROM log_lines l WHERE l.run_id = runs.id)"
    faults = count_of(url, holes), count_of(url, short)
    print(f"{count_of(url, 'runs'):,} runs are left; with holes in their lines: {faults}")


class Pruning:
    """Prunes page by page, on a thread, as `rungraph prune` does."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._prune)
        self.done = 0

    def _prune(self) -> None:
        body: dict[str, Any] = {"older_than_s": 3600}
        while not self._is_over.is_set():
            try:
                page = self._server.post("/runs/prune", body)
            except OSError:  # Killed.
                return
            self.done += page["done"]
            body |= {"cursor": page["next_cursor"]} if page["next_cursor"] else {}

    def __enter__(self) -> Pruning:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()


def steps_of(server: Server) -> int:
    name = b"rungraph_step_duration_seconds_count"
    [line] = [line for line in server.get("/metrics").splitlines() if line.startswith(name)]
    return int(float(line.split()[-1]))


def rates(server: Server) -> tuple[float, float]:
    """Return the steps for each second, and for each second of the server's processor time."""
    begun, cpu_s, steps = time.monotonic(), server.cpu_s(), steps_of(server)
    time.sleep(WINDOW_S)
    done = steps_of(server) - steps
    return done / (time.monotonic() - begun), done / (server.cpu_s() - cpu_s)


def show(ratios: list[tuple[float, float]]) -> None:
    """Print the ratios of both rates. On a machine with other work the second one tells more."""
    for name, found in zip(("steps/s", "steps for each s of processor time"), zip(*ratios, strict=True), strict=True):
        print(f"{name}: median {statistics.median(found):.3f}  min {min(found):.3f}  max {max(found):.3f}")


def ask(url: str, query: str) -> list[Any]:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
            return connection.execute(query).fetchall()
    import psycopg

    with psycopg.connect(url, autocommit=True) as session:
        cursor = session.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


def count_of(url: str, what: str) -> int:
    [(count,)] = ask(url, f"SELECT count(*) FROM {what}")
    return int(count)


def size_of(url: str) -> int:
    if url.startswith("sqlite"):
        return Path(url.removeprefix("sqlite:///")).stat().st_size
    return int(ask(url, "SELECT pg_database_size(current_database())")[0][0])


if __name__ == "__main__":
    main()
