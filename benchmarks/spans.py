"""Measure the cost of spans: steps per second of a busy server on SQLite, without and with OpenTelemetry's SDK.

    python benchmarks/spans.py [STEPS] [ROUNDS]

The variants take turns within each round. The exporter throws the spans away, on the SDK's own thread.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from service.core.state import State
from service.core.tool import Tool
from service.core.validation import read_graph
from service.engine.engine import Engine, EngineSettings
from service.process import tune_collector
from service.store import Store
from service.store.commands.start import Start
from service.store.database.opening import database_at
from service.store.schema.migrate import migrate

RUNS = 50


async def add(state: dict[str, Any]) -> None:
    state["count"] += 1


TOOLS = {"add": Tool.of(add)}


class Nowhere(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002
        return SpanExportResult.SUCCESS


async def steps_per_s(folder: Path, steps: int) -> float:
    """Return the steps a second of RUNS runs that share `steps`."""
    database = database_at(f"sqlite:///{folder / 'rungraph.db'}")
    migrate(database)
    store = Store(database, server_id="server", address="none", lease_s=3600)
    store.open()
    again = {"to": "add", "condition": {"key": "count", "op": "<", "value": steps // RUNS}}
    document = {"start_node": "add", "max_steps": 10**9, "nodes": {"add": "add"}, "edges": {"add": [again]}}
    graph = read_graph(document, TOOLS)
    await store.graphs.add(graph)
    for number in range(RUNS):
        await store.runs.start(Start(f"r{number}", graph.id, State.of({"count": 0}, 2**20), {}))
    engine = Engine(store, TOOLS, EngineSettings(folder, 1000, 8, 2**20, lease_s=3600))
    began = time.perf_counter()
    engine.start()
    for number in range(RUNS):
        async for _ in store.tails.lines(f"r{number}", 0, gone=lambda _: False):
            pass
    took = time.perf_counter() - began
    await engine.stop()
    await store.close()
    return steps / took


def measure(steps: int, provider: TracerProvider | None) -> float:
    trace._TRACER_PROVIDER = provider
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(steps_per_s(Path(folder), steps))


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    providers = {"all runs": TracerProvider(), "1 % of the runs": TracerProvider(sampler=TraceIdRatioBased(0.01))}
    for provider in providers.values():
        provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    tune_collector()
    measure(steps // 10, None)
    ratios: dict[str, list[float]] = {name: [] for name in providers}
    for _ in range(rounds):
        without = measure(steps, None)
        print(f"without spans {without:,.0f} steps a second", flush=True)
        for name, provider in providers.items():
            ratios[name].append(measure(steps, provider) / without)
    for name, provider in providers.items():
        print(f"spans of {name}: {statistics.median(ratios[name]):.3f} of that (median)")
        provider.shutdown()


if __name__ == "__main__":
    main()
