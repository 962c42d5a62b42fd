"""Measure the cost of spans: steps per second of a busy server on SQLite, without and with OpenTelemetry's SDK.

    python benchmarks/spans.py [STEPS] [ROUNDS]

The variants take turns within each round. The exporter throws the spans away, on the SDK's own thread. A server makes
spans for PER_S steps a second in the long run; the burst that it allows besides is used up before.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from service import spans
from service.core.state import State
from service.core.tool import Tool
from service.core.validation import read_graph
from service.engine.engine import Engine, EngineSettings
from service.process import tune_collector
from service.settings import Settings
from service.store import Store
from service.store.commands.start import Start
from service.store.database.opening import database_at
from service.store.schema.migrate import migrate

RUNS = 50
PER_S = Settings().traced_steps_per_s


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


@dataclass(frozen=True)
class Variant:
    name: str
    provider: TracerProvider
    is_bounded: bool = True
    """Whether PER_S holds."""


VARIANTS = (
    Variant("all runs, as a server makes them", TracerProvider()),
    Variant("1 % of the runs, as a server makes them", TracerProvider(sampler=TraceIdRatioBased(0.01))),
    Variant("all steps of all runs", TracerProvider(), is_bounded=False),
)


def measure(steps: int, variant: Variant | None) -> float:
    trace._TRACER_PROVIDER = None if variant is None else variant.provider
    spans.allow_steps(PER_S)
    while spans._allowance.take(time.monotonic(), 0):
        pass
    if variant is not None and not variant.is_bounded:
        spans._allowance = None
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(steps_per_s(Path(folder), steps))


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 15
    for variant in VARIANTS:
        variant.provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    tune_collector()
    measure(steps, None)
    # Many short measurements, because a machine becomes slower or faster in the course of the minutes.
    found: dict[str, list[float]] = {variant.name: [] for variant in VARIANTS}
    without: list[float] = []
    for number in range(rounds):
        order = [*VARIANTS, None]
        for each in order if number % 2 else reversed(order):
            (without if each is None else found[each.name]).append(measure(steps, each))
    print(f"without spans {statistics.median(without):,.0f} steps a second (median)")
    for name, rates in found.items():
        print(f"spans of {name}: {statistics.median(rates) / statistics.median(without):.3f} of that")
    for variant in VARIANTS:
        variant.provider.shutdown()


if __name__ == "__main__":
    main()
