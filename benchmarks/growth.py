"""S7: measure what grows with a run, and with the number of runs in the database.

    python benchmarks/growth.py steps [--rounds 3] [--steps 100000]
    python benchmarks/growth.py runs [--rounds 5] [--runs 1000000] [--scattered] [--postgres]
    python benchmarks/growth.py memory [--rounds 3]

`steps`: the cost of a step at the beginning and at the end of one long run. `runs`: what the calls cost in a database
with a hundred runs and in one with a million, in turn within each round. `memory`: what a server's process holds for
runs that are active and for those that are parked.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import random
import shutil
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.filling import GRAPHS, STATE_BYTES_MAX, created_at, fill, kinds, opened, run_id_of, start
from support.ours import Server, databases, new_folder, serve

from service.api.parameters import new_run_id
from service.core.state import State
from service.core.tool import Tool
from service.core.validation import read_graph
from service.engine.engine import Engine, EngineSettings
from service.store.commands.start import Start
from service.store.database.opening import database_at
from service.store.schema.migrate import migrate

WINDOW = 500
"""Steps whose cost is taken together."""
WINDOWS = 10
"""Of them at either end of the run."""
FEW = 100
ONE_BY_ONE, BATCHES, BATCH = 100, 5, 100
"""Calls of each kind in a round, one after the other; and batches of calls at once."""
ITEMS = 20
"""On a page of runs: fewer than any of the filters finds among a hundred runs."""
Costs = dict[str, float]
"""Milliseconds of each call, the median of a round."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("steps", "runs", "memory"))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--scattered", action="store_true", help="runs that wait lie among all others, not together")
    parser.add_argument("--postgres", action="store_true")
    given = parser.parse_args()
    {"steps": growth_of_a_run, "runs": growth_of_a_database, "memory": memory}[given.what](given)


def growth_of_a_run(given: argparse.Namespace) -> None:
    early, late = [], []
    for _ in range(given.rounds or 3):
        with databases(given.postgres) as made, new_folder() as folder:
            url = made.empty() if made else f"sqlite:///{folder / 'long.db'}"
            called_at = asyncio.run(run_steps(url, folder, given.steps))
        costs = [
            (called_at[first + WINDOW] - called_at[first]) / WINDOW * 1000
            for first in range(WINDOW // 5, given.steps - WINDOW, WINDOW)
        ]
        early.append(statistics.median(costs[:WINDOWS]))
        late.append(statistics.median(costs[-WINDOWS:]))
    show("a step from the 100th on, ms", early)
    show(f"a step up to the {given.steps:,}th, ms", late)
    show("ratio", [after / before for before, after in zip(early, late, strict=True)])


async def run_steps(url: str, folder: Path, steps: int) -> list[float]:
    """When the tool was called, for each step of one run: from one call to the next is all that a step costs."""
    called_at: list[float] = []

    async def add(state: dict[str, Any]) -> None:
        called_at.append(time.perf_counter())
        state["count"] += 1

    tools = {"add": Tool.of(add)}
    again = {"to": "add", "condition": {"key": "count", "op": "<", "value": steps}}
    document = {"start_node": "add", "max_steps": steps + 1, "nodes": {"add": "add"}, "edges": {"add": [again]}}
    graph = read_graph(document, tools)
    database = database_at(url)
    migrate(database)
    async with opened(database) as store:
        engine = Engine(store, tools, EngineSettings(folder, 1000, 64, STATE_BYTES_MAX, 3600))
        engine.start()
        await store.graphs.add(graph)
        state = State.of({"count": 0, "payload": "x" * 1024}, STATE_BYTES_MAX)
        await store.runs.start(Start("run", graph.id, state, {}))
        while len(called_at) < steps or (await store.runs.get("run")).finished_at is None:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        await engine.stop()
    return called_at


def growth_of_a_database(given: argparse.Namespace) -> None:
    rounds: dict[int, list[Costs]] = {FEW: [], given.runs: []}
    with databases(given.postgres) as made, new_folder() as folder:
        urls = {}
        for count in rounds:
            urls[count] = made.empty() if made else f"sqlite:///{folder / f'{count}.db'}"
            begun = time.perf_counter()
            fill(urls[count], kinds(count, scattered=given.scattered))
            print(f"{count:,} runs were made in {time.perf_counter() - begun:.0f} s", flush=True)
        for number in range(given.rounds or 5):
            for count in sorted(rounds, reverse=bool(number % 2)):
                costs = asyncio.run(costs_of_verbs(urls[count])) | costs_of_calls(urls[count], folder, count)
                rounds[count].append(costs)
    print(f"| ms | {FEW} runs | {given.runs:,} runs | ratio | min | max |\n|---|---:|---:|---:|---:|---:|")
    for name in rounds[FEW][0]:
        few, many = ([costs[name] for costs in rounds[count]] for count in rounds)
        ratios = [more / less for less, more in zip(few, many, strict=True)]
        times = f"{statistics.median(few):.2f} | {statistics.median(many):.2f}"
        print(f"| {name} | {times} | {statistics.median(ratios):.2f} | {min(ratios):.2f} | {max(ratios):.2f} |")


async def costs_of_verbs(url: str) -> Costs:
    """Starts and claims by the store itself; what is started is claimed."""
    async with opened(database_at(url)) as store:
        for _ in range(ITEMS):  # To warm up.
            await start(store, new_run_id())
        await store.leases.claim(ITEMS)

        async def start_many() -> None:
            await asyncio.gather(*(start(store, new_run_id()) for _ in range(BATCH)))

        return {
            "start": await cost_of(ONE_BY_ONE, lambda: start(store, new_run_id())),
            f"start {BATCH} at once": await cost_of(BATCHES, start_many),
            "claim": await cost_of(ONE_BY_ONE, lambda: store.leases.claim(1)),
            f"claim {BATCH} at once": await cost_of(BATCHES, lambda: store.leases.claim(BATCH)),
        }


async def cost_of(count: int, do: Callable[[], Awaitable[Any]]) -> float:
    took = []
    for _ in range(count):
        begun = time.perf_counter()
        await do()
        took.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took)


def costs_of_calls(url: str, folder: Path, count: int) -> Costs:
    """Of a server that executes nothing, over one connection."""
    chance, graph_id = random.Random(count), GRAPHS["completed"].id
    paths: dict[str, Callable[[], str]] = {
        "GET /graph/state": lambda: f"/graph/state/{run_id_of(chance.randrange(count))}",
        "GET /runs": lambda: f"/runs?limit={ITEMS}",
        "GET /runs?status": lambda: f"/runs?limit={ITEMS}&status=completed",
        "GET /runs?graph_id": lambda: f"/runs?limit={ITEMS}&graph_id={graph_id}",
        "GET /runs?tag": lambda: f"/runs?limit={ITEMS}&tag=team:0",
        "GET /runs?status&graph_id&tag": lambda: f"/runs?limit={ITEMS}&status=completed&graph_id={graph_id}&tag=team:1",
        "GET /runs, the last page": lambda: f"/runs?limit={ITEMS}&cursor={created_at(ITEMS)}/{run_id_of(ITEMS)}",
    }
    costs = {}
    with serve(folder, url, "--no-engine") as server, asking(server) as ask:
        for name, path in paths.items():
            took = []
            for number in range(ITEMS + ONE_BY_ONE):
                asked, begun = path(), time.perf_counter()
                answer = ask(asked)
                if number >= ITEMS:  # Before, to warm up.
                    took.append((time.perf_counter() - begun) * 1000)
                if name != "GET /graph/state" and len(answer["items"]) != ITEMS:
                    raise SystemExit(f"{asked} finds {len(answer['items'])} runs")
            costs[name] = statistics.median(took)
    return costs


@contextmanager
def asking(server: Server) -> Iterator[Callable[[str], Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def ask(path: str) -> Any:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {body.decode()}")
        return json.loads(body)

    try:
        yield ask
    finally:
        connection.close()


ACTIVE = (0, 100, 1_000, 5_000)
PARKED = (0, 100_000)
SETTLE_S = 7.0
"""From when all runs stand until the memory is read: leases have been renewed by then."""

STANDING = """
import asyncio
import os
from pathlib import Path

from service import tool

left = int(os.environ["STANDING"])


@tool
async def add(state):
    global left
    left -= 1
    if not left:
        Path("standing").touch()
    await asyncio.Event().wait()
"""


def memory(given: argparse.Namespace) -> None:
    rounds = given.rounds or 3
    with new_folder() as folder:
        active = {count: filled(folder, "queued", count) for count in ACTIVE}
        parked = {count: filled(folder, "paused", count) for count in PARKED}
        sizes: dict[tuple[str, int], list[float]] = {}
        for _ in range(rounds):
            for count, template in active.items():
                sizes.setdefault(("active", count), []).append(memory_of(folder, template, count))
            for count, template in parked.items():
                sizes.setdefault(("parked", count), []).append(memory_of(folder, template, 0))
    for (what, count), values in sizes.items():
        show(f"a server with {count:,} {what} runs, KiB", values)
    for what, first, last in (("active", 100, 1_000), ("active", 100, ACTIVE[-1]), ("parked", *PARKED)):
        pairs = zip(sizes[what, first], sizes[what, last], strict=True)
        per_run = [(more - less) / (last - first) for less, more in pairs]
        show(f"per {what} run, from {first:,} to {last:,}, KiB", per_run)


def filled(folder: Path, kind: str, count: int) -> Path:
    file = folder / f"{count}-{kind}.db"
    fill(f"sqlite:///{file}", ((number, kind) for number in range(count)))
    return file


def memory_of(folder: Path, template: Path, active: int) -> float:
    """KiB of a fresh server on a copy of `template`, once `active` runs are in the middle of an attempt."""
    shutil.copy(template, folder / "memory.db")
    (folder / "standing").unlink(missing_ok=True)
    settings = {"RUNGRAPH_MAX_ACTIVE_RUNS": str(max(ACTIVE)), "STANDING": str(active)}
    with serve(folder, f"sqlite:///{folder / 'memory.db'}", tools=STANDING, **settings) as server:
        deadline = time.monotonic() + 60
        while active and not (folder / "standing").exists():
            if time.monotonic() > deadline:
                raise SystemExit(f"{active} runs do not come to stand")
            time.sleep(0.1)
        time.sleep(SETTLE_S)
        return server.rss_kib()


def show(name: str, values: list[float]) -> None:
    print(f"{name:44} median {statistics.median(values):10,.3f}  min {min(values):10,.3f}  max {max(values):10,.3f}")


if __name__ == "__main__":
    main()
