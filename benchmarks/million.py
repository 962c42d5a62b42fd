"""Measure the page's calls on a database with 1,000,000 runs and 20 million lines: the median of 30 calls each.

    python benchmarks/million.py [--runs 1000000] [--postgres] [--url URL]

The server executes nothing, and one connection asks. With `--url` the database stays, and is filled only if it is
empty.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from support import filling
from support.ours import Server, databases, new_folder, serve

from service.store.database.opening import database_at

CALLS, WARM_UP = 30, 3
CALLS_S = 5.0
"""A slow call is not made as often: no further one after this time."""
LOG_LINES_OF_STEP = 5
"""With the steps' own lines and those of the start and the end, a run has 20."""
LONG = f"/runs/{filling.LONG_ID}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--url")
    given = parser.parse_args()
    with databases(given.postgres and not given.url) as made, new_folder() as folder:
        url = given.url or (made.empty() if made else f"sqlite:///{folder / 'million.db'}")
        if not is_filled(url):
            begun = time.perf_counter()
            copies = filling.after_years(given.runs)
            filling.fill(url, copies, log_lines_of_step=LOG_LINES_OF_STEP, with_long=True)
            print(f"filled in {time.perf_counter() - begun:.0f} s", flush=True)
        measure(url, folder, given.runs)


def is_filled(url: str) -> bool:
    database = database_at(url)
    if database.dialect == "sqlite":
        return Path(database.name).exists()
    import psycopg

    with psycopg.connect(url) as connection:
        return connection.execute("SELECT to_regclass('public.runs')").fetchone() != (None,)


def measure(url: str, folder: Path, count: int) -> None:
    """Print for each call the median and the highest time, and the mean of the processor time that it takes.

    On a machine with other work the latter tells more. It is that of the server and of its sessions on PostgreSQL.
    """
    print(f"{'median':>8} {'max':>8} {'cpu':>8}  call (ms)")
    with serve(folder, url, "--no-engine") as server, asking(server) as ask:
        for method, path, body in calls(count):
            took = list[float]()
            last, used = time.perf_counter() + CALLS_S, 0.0
            for number in range(WARM_UP + CALLS):
                if number == WARM_UP:
                    used = cpu_s(server, url)
                begun = time.perf_counter()
                if number > WARM_UP and begun > last:
                    break
                answer = ask(method, path, body)
                if number >= WARM_UP:
                    took.append((time.perf_counter() - begun) * 1000)
            cpu_ms = (cpu_s(server, url) - used) / len(took) * 1000
            told = f" {json.dumps(body)}" if body else ""
            times = f"{statistics.median(took):8.1f} {max(took):8.1f} {cpu_ms:8.1f}"
            print(f"{times}  {method} {path}{told}  ({len(answer):,} bytes)", flush=True)


def cpu_s(server: Server, url: str) -> float:
    if url.startswith("sqlite"):
        return server.cpu_s()
    import psycopg

    with psycopg.connect(url) as connection:
        sessions = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        return server.cpu_s() + sum(Server(0, pid).cpu_s() for (pid,) in connection.execute(sessions).fetchall())


def calls(count: int) -> Iterator[tuple[str, str, Any]]:
    filters = list(filters_of(count))
    deep = place_of(count // 2)
    for which in filters:
        yield "GET", f"/runs?{urlencode([*which, ('limit', '50')])}", None
    for which in filters[:12]:
        yield "GET", f"/runs?{urlencode([*which, ('limit', '50'), ('cursor', deep)])}", None
    yield "GET", f"/runs?{urlencode({'limit': 50, 'cursor': place_of(50)})}", None
    for which in filters:
        yield "GET", f"/runs/counts?{urlencode(which)}", None
    for what in PARTS_OF_A_RUN:
        yield "GET", LONG + what, None
    yield "GET", f"/runs/{filling.run_id_of(0)}", None
    yield "GET", f"/runs?{urlencode({'parent_id': filling.run_id_of(0), 'limit': 50})}", None
    for path in ("/metrics", "/graphs", "/schedules", "/limits"):
        yield "GET", path, None
    for where in ({"status": ["paused"]}, {"status": ["completed"]}, {"tag": ["team:1"], "status": ["queued"]}):
        yield "POST", "/runs/actions", {"action": "cancel", "where": where, "dry_run": True}
    for rule in ({}, {"status": ["failed"]}, {"graph": "versions"}, {"keep_last": 10}):
        yield "POST", "/runs/prune", {"older_than_s": 0, "dry_run": True, **rule}


PARTS_OF_A_RUN = (
    "",
    "/why",
    "/path",
    "/steps",
    f"/steps?before_step={filling.LONG_STEPS + 1}",
    "/steps?node=check",
    f"/steps?node=check&before_step={filling.LONG_STEPS + 1}",
    "/steps?node=nowhere",
    "/state",
    "/state?step=5000",
    "/keys",
    "/keys/count",
    "/keys/payload",
    "/logs",
    "/logs?after_seq=20000",
    "/logs?level=error",
    "/logs?level=info&before_seq=30000",
    "/logs?node=check&limit=100",
    "/logs?text=row+4&limit=100",
    "/logs?text=nowhere",
    "/logs?before_seq=1000000&limit=100",
    "/files",
    "/signals",
)


def filters_of(count: int) -> Iterator[list[tuple[str, str]]]:
    """Yield filters that people use, alone and together; the first twelve are also asked from the middle on."""
    yield from filters_by_kind(count)
    yield from filters_by_time(count)
    yield from filters_by_id(count)


def filters_by_kind(count: int) -> Iterator[list[tuple[str, str]]]:
    """Yield filters by status, graph, tag and wait."""
    graph_id = filling.GRAPHS["completed"].id
    yield []
    yield [("status", "completed")]
    yield [("status", "failed")]
    yield [("status", "failed"), ("status", "paused"), ("status", "running")]
    yield [("graph", "load")]
    yield [("graph", "versions")]
    yield [("graph_id", graph_id)]
    yield [("tag", "team:1")]
    yield [("tag", "!team:1")]
    yield [("parent_id", "none")]
    yield [("waiting_for", "signal")]
    yield [("graph", "versions"), ("status", "completed"), ("tag", "team:2")]
    yield [("status", "queued")]
    yield [("status", "cancelled")]
    yield [("tag", f"order:{count // 20}")]
    yield [("tag", "team:1"), ("tag", f"order:{count // 20}")]
    yield [("tag", "team:1"), ("tag", "!order:5")]
    yield [("tag", "team:1"), ("tag", "team:2")]
    yield [("tag", "no:body")]
    yield [("graph", "nobody")]
    yield [("graph", "load"), ("status", "failed")]
    yield [("graph", "failed"), ("status", "failed"), ("tag", "team:0")]
    yield [("graph", "failed"), ("status", "completed")]
    yield [("graph", "load"), ("tag", "team:3"), ("parent_id", "none")]
    yield [("parent_id", "none"), ("status", "completed")]
    yield [("waiting_for", "sleep")]
    yield [("waiting_for", "children")]
    yield [("waiting_for", "backoff")]
    yield [("waiting_for", "signal"), ("tag", "team:1")]


def filters_by_time(count: int) -> Iterator[list[tuple[str, str]]]:
    middle, late = filling.created_at(count // 2), filling.created_at(count // 2 + 3600)
    yield [("created_after", middle)]
    yield [("created_before", middle)]
    yield [("created_after", middle), ("created_before", late)]
    yield [("created_after", middle), ("created_before", late), ("status", "failed")]
    yield [("created_before", filling.created_at(10)), ("status", "cancelled")]
    yield [("created_after", middle), ("created_before", late), ("tag", "team:1"), ("graph", "load")]


def filters_by_id(count: int) -> Iterator[list[tuple[str, str]]]:
    yield [("id_prefix", filling.run_id_of(count // 2)[:4])]
    yield [("id_prefix", "01ff")]
    yield [("id_prefix", filling.run_id_of(count // 2)[:8])]
    yield [("id_prefix", filling.run_id_of(count // 2)[:13])]
    yield [("id_prefix", filling.run_id_of(count // 2))]
    yield [("forked_from", filling.run_id_of(0))]
    yield [("parent_id", filling.run_id_of(0)), ("status", "failed")]


def place_of(number: int) -> str:
    """Return the cursor after the `number`th run."""
    return f"{filling.created_at(number)}/{filling.run_id_of(number)}"


@contextmanager
def asking(server: Server) -> Iterator[Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)

    def ask(method: str, path: str, body: Any) -> bytes:
        connection.request(
            method,
            quote(path, safe="/?&=%+:!"),
            None if body is None else json.dumps(body),
            {"Content-Type": "application/json"},
        )
        answer = connection.getresponse()
        told = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {told.decode()}")
        return told

    try:
        yield ask
    finally:
        connection.close()


if __name__ == "__main__":
    main()
