"""Measure runs that sleep: how late each wakes, and how much memory a server needs for them.

    PYTHONPATH=. python benchmarks/sleepers.py [--runs 10000] [--restart] [--postgres]

Each run sleeps until a moment of its own, 30 to 60 s after its start. `--restart`: the server is killed while they
sleep and started again at once. A run's lateness is from its moment to the commit of its step.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from support.ours import Server, databases, new_folder, serve

SLEEP_S = (30.0, 60.0)
AT_FIRST = 1_000
"""Runs that sleep when the memory is read for the first time."""
SETTLE_S = 2.0
GRAPH = {"start_node": "nap", "nodes": {"nap": {"sleep": {"until": "due"}}}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--restart", action="store_true")
    parser.add_argument("--postgres", action="store_true")
    given = parser.parse_args()
    with databases(given.postgres) as made, new_folder() as folder:
        url = made.empty() if made else f"sqlite:///{folder / 'sleepers.db'}"
        with serve(folder, url) as server:
            started_at = time.time()
            start_all(server, given.runs)
            if given.restart:
                time.sleep(max(0.0, started_at + sum(SLEEP_S) / 2 - time.time()))
                server.kill()
                killed_at = time.time()
            else:
                wait_for_all(server)
        if given.restart:
            with serve(folder, url) as server:
                print(f"killed, and ready again after {time.time() - killed_at:.1f} s")
                back_at = time.time()
                wait_for_all(server)
        late = sorted(lateness(folder, url))
        show("all runs", [seconds for _, seconds in late])
        if given.restart:
            show("runs due once it was ready again", [seconds for due, seconds in late if due > back_at])


def start_all(server: Server, count: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    graph_id = asked(connection, "/graph/create", GRAPH)["graph_id"]
    begun, at_first = time.monotonic(), 0
    for number in range(count):
        due = time.time() + random.uniform(*SLEEP_S)
        asked(connection, "/graph/run", {"graph_id": graph_id, "initial_state": {"due": due}})
        if number + 1 == AT_FIRST:
            at_first = memory_once_parked(server)
    print(f"{count:,} started in {time.monotonic() - begun:.1f} s")
    in_the_end = memory_once_parked(server)
    print(f"memory with {AT_FIRST:,} asleep {at_first:,} KiB, with {count:,} {in_the_end:,} KiB")


def asked(connection: http.client.HTTPConnection, path: str, body: Any) -> Any:
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    return json.loads(connection.getresponse().read())


def memory_once_parked(server: Server) -> int:
    while not page(server, "status=queued&limit=1") == page(server, "status=running&limit=1") == []:
        time.sleep(0.2)
    time.sleep(SETTLE_S)
    return server.rss_kib()


def wait_for_all(server: Server) -> None:
    while any(page(server, f"status={status}&limit=1") for status in ("waiting", "running", "queued")):
        time.sleep(1)


def page(server: Server, query: str) -> list[Any]:
    items: list[Any] = json.loads(server.get(f"/runs?{query}"))["items"]
    return items


def lateness(folder: Path, url: str) -> Iterator[tuple[float, float]]:
    """The moment of each run, and by how many seconds its step was committed after it."""
    query = (
        "SELECT c.value, s.finished_at FROM changes c JOIN snapshots s ON s.run_id = c.run_id"
        " WHERE c.key = 'due' AND c.step = 0 AND s.step = 1"
    )
    with cursor_of(folder, url) as cursor:
        for due, finished_at in cursor.execute(query):
            moment = finished_at if isinstance(finished_at, datetime) else datetime.fromisoformat(finished_at)
            yield float(due), moment.timestamp() - float(due)


@contextmanager
def cursor_of(folder: Path, url: str) -> Iterator[Any]:
    if url.startswith("sqlite"):
        import sqlite3

        connection: Any = sqlite3.connect(folder / "sleepers.db")
    else:
        import psycopg

        connection = psycopg.connect(url)
    try:
        yield connection.cursor()
    finally:
        connection.close()


def show(what: str, late: list[float]) -> None:
    late = sorted(late)
    p99 = late[int(len(late) * 0.99)]
    print(
        f"{what}: {len(late):,}; late by median {statistics.median(late):.3f} s, p99 {p99:.3f} s, most {late[-1]:.3f} s"
    )


if __name__ == "__main__":
    main()
