"""Run a graph with a real engine and database, and return what happened as a simulation's trace without times."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from service.api.responses import texts
from service.core import codec
from service.core.state import State
from service.core.tool import JsonObject
from service.core.validation import child_graphs, pin, read_graph
from service.engine.engine import Engine, EngineSettings
from service.simulation import Trace
from service.store.commands.start import Start
from tests.support.engine.harness import STATE_BYTES_MAX, Bench


async def executed(
    made: Bench,
    trace: Trace,
    graph: JsonObject,
    state: JsonObject,
    signals: Iterable[tuple[str, Any]] = (),
    graphs: Iterable[Mapping[str, Any]] = (),
) -> JsonObject:
    """Execute the graph as `trace` has it, and return what came of it once it is where the trace ends."""
    ids: dict[str, str] = {}
    for document in (*graphs, graph):
        known = {found.graph: ids.get(found.graph, found.graph) for found in child_graphs(document)}
        read = read_graph(pin(document, known), made.tools)
        await made.store.graphs.add(read)
        ids[read.name] = read.id
    await made.store.runs.start(Start(trace.run_id, read.id, State.of(state, STATE_BYTES_MAX), {}))
    for name, payload in signals:
        await made.store.signals.send(trace.run_id, name, codec.encode(payload), None)
    engine = Engine(
        made.store, made.tools, EngineSettings(made.runs_folder, 100, 16, STATE_BYTES_MAX, 600), family=trace.run_id
    )
    engine.start()
    try:
        deadline = time.monotonic() + 30
        while True:
            run = await made.store.runs.get(trace.run_id)
            if (run.status, run.last_seq) == (trace.status, len(trace.lines)) or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.002)
    finally:
        await engine.stop()
    return await _found(made, trace)


async def _found(made: Bench, trace: Trace) -> JsonObject:
    store, run_id = made.store, trace.run_id
    run = await store.runs.get(run_id)
    steps = (await store.history.page(run_id, 0, 1000)).items
    lines, _, _ = await store.logs.page(run_id, 0, 1000)
    return {
        "status": run.status,
        "state": await made.state(run_id),
        "current_node": run.current_node,
        "error": None if run.error is None else codec.loads(run.error),
        "steps": _timeless([json.loads(texts.step(step)) for step in steps]),
        "lines": _timeless([json.loads(texts.line(line)) for line in lines]),
        "parent": run.parent_id and {"run_id": run.parent_id, "step": run.parent_step},
        "children": [await _found(made, child) for child in trace.children],
    }


def told(trace: Trace) -> JsonObject:
    """Return a trace in the same shape."""
    return {
        "status": trace.status,
        "state": trace.state,
        "current_node": trace.current_node,
        "error": trace.error,
        "steps": _timeless(trace.steps),
        "lines": _timeless(trace.lines),
        "parent": trace.parent,
        "children": [told(child) for child in trace.children],
    }


def _timeless(items: list[JsonObject]) -> list[JsonObject]:
    timed = ("ts", "started_at", "finished_at", "duration_ms")
    kept = [{name: value for name, value in item.items() if name not in timed} for item in items]
    for item in kept:
        if "attempts" in item:
            item["attempts"] = [{name: each[name] for name in ("attempt", "error")} for each in item["attempts"]]
    return kept
