"""Spans of runs, steps and attempts, as OpenTelemetry's own SDK receives them."""

from __future__ import annotations

import contextvars
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service import spans
from service.core import codec
from service.core.moves import CallTool
from service.core.run import Run
from service.core.state import State
from service.core.syntax.trace_context import Trace
from service.core.tool import Context
from service.core.transitions import Status
from service.core.validation import read_graph
from service.engine.isolation.messages import decode_call, encode_call
from service.spans import begin_run, enter, trace_of_start
from service.store.commands.start import Start
from service.store.database.local_events import CLAIMABLE
from tests.support.engine.harness import STATE_BYTES_MAX, Bench, bench, pure, running

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = Trace(f"00-{TRACE_ID}-{PARENT_ID}-01", "vendor=1")


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    monkeypatch.setattr(spans, "_allowance", None)  # A server that another test has run has set it.
    yield exporter
    provider.shutdown()


async def started(made: Bench, document: dict[str, Any], given: Trace | None = GIVEN) -> None:
    graph = read_graph(document, made.tools)
    await made.store.graphs.add(graph)
    await made.store.runs.start(Start("r", graph.id, State.of({"n": 0}, STATE_BYTES_MAX), {}, trace=given))


def tree(spans: tuple[ReadableSpan, ...]) -> dict[str, list[str]]:
    """The names of the spans below each, in the order of their beginnings."""
    names = {span.context.span_id: span.name for span in spans if span.context}
    found: dict[str, list[str]] = {}
    for span in sorted(spans, key=lambda span: span.start_time or 0):
        parent = span.parent
        above = "nothing" if parent is None else names.get(parent.span_id, f"{parent.span_id:016x}")
        found.setdefault(above, []).append(span.name)
    return found


GRAPH = read_graph({"start_node": "a", "nodes": {"a": "tool"}}, ["tool"])
CHAIN = {
    "name": "chain",
    "start_node": "a",
    "nodes": {"a": "plain", "b": "waiting"},
    "edges": {"a": "b"},
}


async def test_a_tools_spans_are_below_its_attempt_its_step_and_its_run(
    tmp_path: Path, exporter: InMemorySpanExporter
) -> None:
    tracer = trace.get_tracer("mine")

    def plain(state: dict[str, Any]) -> None:
        with tracer.start_as_current_span("in plain"):
            state["n"] += 1

    async def waiting(state: dict[str, Any]) -> None:
        with tracer.start_as_current_span("in waiting"):
            state["n"] += 1

    async with running(tmp_path, plain, waiting) as made:
        await started(made, CHAIN)
        assert (await made.over("r")).status == "completed"
    spans = exporter.get_finished_spans()
    assert tree(spans) == {
        PARENT_ID: ["run chain"],
        "run chain": ["step a", "step b"],
        "step a": ["attempt plain"],
        "attempt plain": ["in plain"],
        "step b": ["attempt waiting"],
        "attempt waiting": ["in waiting"],
    }
    assert {f"{span.context.trace_id:032x}" for span in spans if span.context} == {TRACE_ID}
    [run] = [span for span in spans if span.name == "run chain"]
    assert run.context is not None
    assert run.context.trace_state.to_header() == "vendor=1"
    assert dict(run.attributes or {}).items() >= {"rungraph.run.id": "r", "rungraph.run.status": "completed"}.items()


async def test_a_trace_survives_a_restart(tmp_path: Path, exporter: InMemorySpanExporter) -> None:
    def plain(state: dict[str, Any]) -> None:
        state["n"] += 1

    async def waiting(state: dict[str, Any]) -> None:
        state["n"] += 1

    async with bench(tmp_path, [plain, waiting]) as before:
        await started(before, CHAIN)
    async with running(tmp_path, plain) as first:
        with first.store.events.subscribe(CLAIMABLE) as released:
            while (await first.store.runs.get("r")).step == 0:
                await released.wait()
                released.clear()
    async with running(tmp_path, plain, waiting) as second:
        assert (await second.over("r")).status == "completed"
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == [
        *("attempt plain", "step a", "run chain"),
        *("attempt waiting", "step b", "run chain"),
    ]
    assert {f"{span.context.trace_id:032x}" for span in spans if span.context} == {TRACE_ID}


async def test_a_failure_marks_its_attempt_its_step_and_its_run(tmp_path: Path, exporter: InMemorySpanExporter) -> None:
    def tool() -> None:
        raise ValueError("boom")

    async with running(tmp_path, tool) as made:
        await started(made, {"start_node": "a", "nodes": {"a": "tool"}})
        assert (await made.over("r")).status == "failed"
    attempt, step, run = exporter.get_finished_spans()
    for span in (attempt, step):
        assert dict(span.attributes or {})["error.type"] == "tool_error"
        assert "boom" in (span.status.description or "")
    assert not run.status.is_ok


async def test_children_belong_to_the_trace_of_their_parent(tmp_path: Path, exporter: InMemorySpanExporter) -> None:
    def tool() -> None:
        return None

    async with running(tmp_path, tool) as made:
        leaf = read_graph({"name": "leaf", "start_node": "a", "nodes": {"a": "tool"}}, made.tools)
        await made.store.graphs.add(leaf)
        await started(made, {"start_node": "a", "nodes": {"a": {"graph": leaf.id, "into": "got"}}})
        assert (await made.over("r")).status == "completed"
    spans = exporter.get_finished_spans()
    [child] = [span for span in spans if span.name == "run leaf"]
    assert dict(child.attributes or {})["rungraph.parent.id"] == "r"
    assert {f"{span.context.trace_id:032x}" for span in spans if span.context} == {TRACE_ID}


async def test_a_run_that_is_not_sampled_has_no_spans_and_neither_have_its_tools(
    tmp_path: Path, exporter: InMemorySpanExporter
) -> None:
    tracer = trace.get_tracer("mine")

    def tool() -> None:
        with tracer.start_as_current_span("in tool"):
            pass

    async with running(tmp_path, tool) as made:
        await started(made, {"start_node": "a", "nodes": {"a": "tool"}}, Trace(f"00-{TRACE_ID}-{PARENT_ID}-00"))
        assert (await made.over("r")).status == "completed"
    assert exporter.get_finished_spans() == ()


class Durable(SpanExporter):
    """Notes, when the span of a step ends, by how many steps the database is behind it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.behind: list[int] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            step = dict(span.attributes or {}).get("rungraph.step")
            if isinstance(step, int):
                self.behind.append(step - step_of(self.file))
        return SpanExportResult.SUCCESS


def step_of(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        ((step,),) = connection.execute("SELECT step FROM runs")
    return int(step)


async def test_a_run_with_spans_gets_ahead_of_the_disk_and_a_step_ends_its_span_when_it_is_durable(
    tmp_path: Path, exporter: InMemorySpanExporter
) -> None:
    file = tmp_path / "rungraph.db"
    behind, durable = [], Durable(file)
    trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(durable))  # type: ignore[attr-defined]

    async def look(state: dict[str, Any], context: Context) -> None:
        state["n"] += 1
        behind.append(context.step - 1 - step_of(file))

    again = [{"to": "a", "condition": {"key": "n", "op": "<", "value": 20}}]
    async with running(tmp_path, pure(look)) as made:
        await started(made, {"name": "loop", "start_node": "a", "nodes": {"a": "look"}, "edges": {"a": again}})
        assert (await made.over("r")).status == "completed"
    assert any(behind)
    assert len(durable.behind) == 20
    assert max(durable.behind) <= 0
    found = exporter.get_finished_spans()
    assert tree(found) == {
        PARENT_ID: ["run loop"],
        "run loop": ["step a"] * 20,
        "step a": ["attempt look"] * 20,
    }
    last = max((span for span in found if span.name == "step a"), key=lambda span: span.start_time or 0)
    assert dict(last.attributes or {})["rungraph.run.status"] == "completed"


@pytest.mark.parametrize("is_pure", [False, True])
async def test_steps_beyond_the_allowance_have_no_spans_and_the_run_counts_them(
    tmp_path: Path, exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, is_pure: bool
) -> None:
    tracer = trace.get_tracer("mine")

    async def add(state: dict[str, Any]) -> None:
        with tracer.start_as_current_span("in add"):
            state["n"] += 1

    # The clock stands still, so there is nothing but the burst of three steps.
    allowance = spans.Allowance(3 / spans.BURST_S)
    monkeypatch.setattr(spans, "_allowance", SimpleNamespace(take=lambda _, traced: allowance.take(0.0, traced)))
    again = [{"to": "a", "condition": {"key": "n", "op": "<", "value": 20}}]
    async with running(tmp_path, pure(add) if is_pure else add) as made:
        await started(made, {"name": "loop", "start_node": "a", "nodes": {"a": "add"}, "edges": {"a": again}})
        assert (await made.over("r")).status == "completed"
    found = exporter.get_finished_spans()
    assert tree(found) == {
        PARENT_ID: ["run loop"],
        "run loop": ["step a"] * 3 + ["in add"] * 17,
        "step a": ["attempt add"] * 3,
        "attempt add": ["in add"] * 3,
    }
    [run] = [span for span in found if span.name == "run loop"]
    assert dict(run.attributes or {})[spans.LEFT_OUT] == 17


def taken(allowance: spans.Allowance, now: float, traced: int = 0) -> int:
    """How many steps get spans at `now`, of runs that have had `traced` of them."""
    return sum(allowance.take(now, traced) for _ in range(1000))


def test_an_allowance_fills_up_at_its_rate_and_holds_the_burst() -> None:
    allowance = spans.Allowance(2)
    assert [taken(allowance, now) for now in (5.0, 6.5, 10_000.0)] == [2 * spans.BURST_S, 3, 2 * spans.BURST_S]


def test_a_run_with_many_traced_steps_leaves_half_to_others() -> None:
    allowance, many = spans.Allowance(2), spans.TRACED_OF_RUN
    assert [taken(allowance, 0.0, many), taken(allowance, 0.0, many - 1)] == [spans.BURST_S + 1, spans.BURST_S - 1]


@pytest.mark.parametrize(("per_s", "at_once"), [(0, 0), (0.001, 1), (1_000_000, 1000)])
def test_the_least_and_the_largest_allowance(per_s: float, at_once: int) -> None:
    assert taken(spans.Allowance(per_s), 0.0, spans.TRACED_OF_RUN) == at_once


@pytest.mark.parametrize(("per_s", "warnings"), [(0, 0), (0.001, 1)])
def test_the_first_step_without_spans_is_logged_unless_none_were_asked_for(
    per_s: float, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    taken(spans.Allowance(per_s), 0.0)
    assert [record.args for record in caplog.records] == [(per_s,)] * warnings


def test_a_start_has_the_current_span_or_else_the_headers_or_else_a_span_of_its_own(
    exporter: InMemorySpanExporter,
) -> None:
    headers = [GIVEN.parent], [GIVEN.state or ""]
    assert trace_of_start(*headers) == GIVEN
    assert exporter.get_finished_spans() == ()
    with trace.get_tracer("mine").start_as_current_span("request") as request:
        found = trace_of_start(*headers)
        assert found is not None
        assert f"-{request.get_span_context().span_id:016x}-" in found.parent
    own = trace_of_start([], [])
    [_, start] = exporter.get_finished_spans()
    assert own is not None
    assert start.context is not None
    assert f"-{start.context.span_id:016x}-" in own.parent


async def test_without_a_provider_there_are_no_spans_and_the_headers_are_kept(tmp_path: Path) -> None:
    def tool() -> dict[str, Any]:
        return {"span": trace.get_current_span().get_span_context().is_valid}

    assert trace_of_start([GIVEN.parent], ["vendor=1"]) == GIVEN
    assert trace_of_start([], []) is None
    async with bench(tmp_path, [tool]) as made:
        await started(made, {"start_node": "a", "nodes": {"a": "tool"}})
        [claimed] = await made.store.leases.claim(1)
        assert claimed.run.trace == GIVEN
        assert begin_run(claimed.run) is None


def test_an_isolated_call_takes_the_span_of_its_attempt_along(exporter: InMemorySpanExporter, tmp_path: Path) -> None:
    run = Run("r", GRAPH, Status.RUNNING, 0, "a", State({}), trace=GIVEN)
    move = CallTool("a", "tool", {}, 1, 1, isolate=True)
    spans = begin_run(run)
    assert spans is not None
    spans.begin_step(run, move)
    sent = codec.encode(encode_call(run, move, tmp_path, STATE_BYTES_MAX, spans.headers()))
    received = decode_call(codec.loads(sent))
    assert (received.move._replace(isolate=True), received.run_id) == (move, "r")
    assert received.trace is not None

    def current() -> int:
        enter(received.trace or GIVEN)
        return trace.get_current_span().get_span_context().span_id

    inside = contextvars.Context().run(current)
    spans.end_attempt(None)
    spans.end(run)
    [attempt, _, _] = exporter.get_finished_spans()
    assert attempt.context is not None
    assert (attempt.name, attempt.context.span_id) == ("attempt tool", inside)
