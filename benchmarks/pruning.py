"""What a prune costs a busy server, what a scrape of /metrics costs, and what becomes of the freed pages (SQLite).

python benchmarks/pruning.py --runs 100000
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import filling

from service.api.folders.deleting import finish, prune
from service.core.metrics import Histogram
from service.core.state import State
from service.core.validation import read_graph
from service.engine.engine import Engine, EngineSettings
from service.store import Store
from service.store.commands.start import Start
from service.store.database.opening import database_at
from service.store.queries.runs.prunable import PruneRule

BUSY = 50
WINDOW_S = 10.0
LOOP = {"start_node": "add", "max_steps": 10**9, "nodes": {"add": "add"}, "edges": {"add": "add"}}
ENDED = PruneRule(older_than_s=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), given.runs))


async def measure(folder: Path, count: int) -> None:
    file = folder / "rungraph.db"
    url = f"sqlite:///{file}"
    await asyncio.to_thread(filling.fill, url, ((number, "completed") for number in range(count)))
    print(f"{count:,} finished runs: {file.stat().st_size / 2**20:,.0f} MiB")
    async with filling.opened(database_at(url)) as store:
        await scrape(store)
        settings = EngineSettings(folder, 1000, 8, 2**20, lease_s=3600)
        engine = Engine(store, filling.TOOLS, settings)
        graph = read_graph(LOOP, filling.TOOLS)
        await store.graphs.add(graph)
        for number in range(BUSY):
            state = State.of({"count": 0}, 2**20)
            await store.runs.start(Start(f"0190b0a4-2c6f-7abc-8def-{number:012x}", graph.id, state, {}))
        engine.start()
        await asyncio.sleep(2)
        before = await steps_per_s(engine, WINDOW_S)
        print(f"without a prune: {before:,.0f} steps a second")
        cursor, done, begun, first = None, 0, time.monotonic(), steps_of(engine)
        while not done or cursor is not None:
            pruned = await prune(store, folder, ENDED, cursor)
            done, cursor = done + pruned.done, pruned.next_cursor
        await finish(store, folder)
        took = time.monotonic() - begun
        during = (steps_of(engine) - first) / took
        print(f"during it: {during:,.0f} ({during / before:.0%}); {done:,} runs in {took:.1f} s")
        size = file.stat().st_size
        after = await steps_per_s(engine, WINDOW_S)
        print(f"after it: {after:,.0f}; the file grew by {(file.stat().st_size - size) / 2**20:.1f} MiB meanwhile")
        await engine.stop()


async def scrape(store: Store) -> None:
    times = []
    for _ in range(20):
        begun = time.perf_counter()
        await store.metrics()
        times.append(time.perf_counter() - begun)
    print(f"a scrape's queries: {sorted(times)[10] * 1000:.1f} ms")


def steps_of(engine: Engine) -> int:
    [steps] = [each.value for each in engine.metrics() if each.name == "step_duration_seconds"]
    assert isinstance(steps, Histogram)
    return sum(steps.counts)


async def steps_per_s(engine: Engine, seconds: float) -> float:
    first: Any = steps_of(engine)
    await asyncio.sleep(seconds)
    return (steps_of(engine) - first) / seconds


if __name__ == "__main__":
    main()
