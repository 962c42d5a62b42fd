"""Make OpenTelemetry spans for runs, steps and attempts. Only OpenTelemetry's API is imported, not its SDK.

Spans are made if the process has a provider of tracers, which the user's code or `opentelemetry-instrument` has set.
Without a provider, not even the API is imported. A run keeps the trace of the request that has started the run, so its
spans belong to one trace, whichever servers make them.

The SDK spends half as much time on the two spans of a short step as the engine spends on the step. The number of steps
that get spans each second is therefore limited, and on a busy server some steps get none. The span of a run counts its
steps without spans.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from service.core.moves import CallTool, Failed, Move, Outcome, ProcessDied
from service.core.run import Run, Transition
from service.core.syntax.trace_context import Trace, read_trace
from service.core.transitions import Status

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

logger = logging.getLogger(__name__)

NAME = "rungraph"
"""The name of the instrumentation, by which samplers and exporters know these spans."""
BURST_S = 250
"""For how many seconds an unused allowance is saved up, so that all steps get spans while steps are few."""
TRACED_OF_RUN = 100
"""A run that has had this many steps with spans leaves half of the allowance to other runs."""
LEFT_OUT = "rungraph.steps_without_spans"
"""The attribute of a run's span that counts the run's steps without spans. It is absent if there are none."""


class Allowance:
    """A token bucket that limits how many steps get spans. Any thread may call `take`."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._left = self._most = max(1.0, per_s * BURST_S) if per_s > 0 else 0.0
        self._filled_at: float | None = None
        self._has_told = per_s <= 0
        self._lock = threading.Lock()

    def take(self, now: float, traced: int) -> bool:
        """Return whether one more step may get spans. If so, take the step from the allowance.

        `now` is a time of the monotonic clock, and `traced` is the number of steps of the same run that have got spans.
        Log a warning when a step is refused for the first time, unless no step may get spans.
        """
        with self._lock:
            if self._filled_at is not None:
                self._left = min(self._most, self._left + (now - self._filled_at) * self._per_s)
            self._filled_at = now
            if self._left >= (1 if traced < TRACED_OF_RUN else max(1.0, self._most / 2)):
                self._left -= 1
                return True
            tells, self._has_told = not self._has_told, True
        if tells:
            text = "from now on some steps have no spans: RUNGRAPH_TRACED_STEPS_PER_S allows %g of them a second"
            logger.warning(text, self._per_s)
        return False


_allowance: Allowance | None = None
"""None: all steps may get spans."""


def allow_steps(per_s: float) -> None:
    """Set how many steps of this process get spans: `per_s` a second in the long run, BURST_S times as many at once."""
    global _allowance  # noqa: PLW0603  # The provider of tracers belongs to the process as well.
    _allowance = Allowance(per_s)


def begin_run(run: Run) -> RunSpans | None:
    """Begin the span of a run that this server now executes. Return None if the process has no provider of tracers."""
    tracer = _tracer()
    return None if tracer is None else RunSpans(tracer, run)


def trace_of_start(parents: list[str], states: list[str]) -> Trace | None:
    """Return the trace for a run that a request starts, or None.

    If the process has a provider of tracers, the trace is that of the current span, which instrumentation of the server
    may have begun, or else that of the request's headers, or else a new trace with a span for the start. Without a
    provider, it is the trace of the headers, if they name one. `parents` and `states` are as in `read_trace`.
    """
    given = read_trace(parents, states)
    tracer = _tracer()
    if tracer is None:
        return given
    from opentelemetry import trace

    current = trace.get_current_span()
    if current.get_span_context().is_valid:
        return _written(current)
    if given is not None:
        return given
    span = tracer.start_span("start run", kind=trace.SpanKind.PRODUCER)
    span.end()
    return _written(span)


class RunSpans:
    """The spans of a run while this server executes it: of the run, and of the step and the attempt in progress."""

    def __init__(self, tracer: Tracer, run: Run) -> None:
        from opentelemetry.context import attach

        self._tracer = tracer
        self._attach = attach
        identity = {"rungraph.run.id": run.id, "rungraph.graph.id": run.graph.id}
        named = {"rungraph.graph.name": run.graph.name} if run.graph.name else {}
        parent = {} if run.parent_id is None else {"rungraph.parent.id": run.parent_id}
        self._run = tracer.start_span(
            f"run {run.graph.name or run.graph.id:.200}",
            context=_context_of(run.trace),
            attributes={**identity, **named, **parent},
        )
        self._inside_run = _inside(self._run)
        # A sampler may drop the run. Then its steps and attempts get no spans either.
        self._is_sampled = self._run.is_recording()
        self._traced = self._left_out = 0
        self._step: Span | None = None
        self._attempt: Span | None = None
        self._uncommitted: list[Span] = []
        """The spans of steps that wait for their commit, while the run goes on."""

    def begin_step(self, run: Run, move: Move) -> None:
        """Begin the span of the step that `move` is part of and, if `move` calls a tool, the span of the attempt."""
        if not self._is_sampled:
            return
        if _allowance is not None and not _allowance.take(time.monotonic(), self._traced):
            self._left_out += 1
            return
        self._traced += 1
        # The SDK spends time on checking each attribute, so the other attributes are set only on the run's span.
        place: dict[str, str | int] = {"rungraph.run.id": run.id, "rungraph.step": run.step + 1}
        place["rungraph.node"] = run.node or ""
        self._step = self._tracer.start_span(f"step {run.node:.200}", context=self._inside_run, attributes=place)
        if isinstance(move, CallTool):
            self._attempt = self._tracer.start_span(
                f"attempt {move.tool:.200}",
                context=_inside(self._step),
                attributes={"rungraph.tool": move.tool, "rungraph.attempt": move.attempt},
            )

    def enter(self) -> None:
        """Make the attempt's span, or else the run's, the current span in the context variables of the caller."""
        self._attach(self._inside_run if self._attempt is None else _inside(self._attempt))

    def headers(self) -> Trace | None:
        """Return the attempt's span, or else the run's, as trace headers for a call in another process."""
        return _written(self._attempt or self._run)

    def end_attempt(self, outcome: Outcome | None) -> None:
        if self._attempt is not None:
            if isinstance(outcome, Failed):
                _fail(self._attempt, outcome.type, outcome.message)
            elif isinstance(outcome, ProcessDied):
                _fail(self._attempt, "tool_error", outcome.message)
            self._attempt.end()
            self._attempt = None

    def end_step(self, transition: Transition, *, is_committed: bool = True) -> None:
        """End the step's span. If the step is not committed yet, the span ends at the next `end_committed` instead."""
        if self._step is not None:
            if transition.error is not None:
                _fail(self._step, transition.error.type, transition.error.message)
            if transition.run.status is not Status.RUNNING:
                self._step.set_attribute("rungraph.run.status", transition.run.status.value)
            self._uncommitted.append(self._step)
            self._step = None
        if is_committed:
            self.end_committed()

    def end_committed(self) -> None:
        """End the spans of the steps that have waited for their commit."""
        for span in self._uncommitted:
            span.end()
        self._uncommitted.clear()

    def end(self, run: Run) -> None:
        """End all spans. `run` is the run after the last step here; another server continues it if it is unfinished."""
        for span in (self._attempt, self._step, *self._uncommitted):
            if span is not None:  # The run was cancelled, or its lease lost.
                span.end()
        self._run.set_attribute("rungraph.run.status", run.status.value)
        if self._left_out:
            self._run.set_attribute(LEFT_OUT, self._left_out)
        if run.status is Status.FAILED:
            _fail(self._run, None, "the run failed")
        self._run.end()


def enter(headers: Trace) -> None:
    """Make the span that `headers` name the current one, if this process has loaded OpenTelemetry."""
    if "opentelemetry.trace" in sys.modules:
        from opentelemetry import context

        context.attach(_context_of(headers))


def _tracer() -> Tracer | None:
    """Return a tracer of the provider that the process has, or None if it has none."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    provider = trace.get_tracer_provider()
    if isinstance(provider, (trace.ProxyTracerProvider, trace.NoOpTracerProvider)):
        return None
    tracer: Tracer = provider.get_tracer(NAME)
    return tracer


def _context_of(headers: Trace | None) -> Context:
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if headers is None:
        return Context()
    carrier = {"traceparent": headers.parent, "tracestate": headers.state or ""}
    return TraceContextTextMapPropagator().extract(carrier, context=Context())


def _inside(span: Span) -> Context:
    from opentelemetry.context import Context
    from opentelemetry.trace import set_span_in_context

    return set_span_in_context(span, Context())


def _written(span: Span) -> Trace | None:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, context=_inside(span))
    return Trace(carrier["traceparent"], carrier.get("tracestate")) if "traceparent" in carrier else None


def _fail(span: Span, error_type: str | None, message: str) -> None:
    from opentelemetry.trace import Status as SpanStatus
    from opentelemetry.trace import StatusCode

    if error_type is not None:
        span.set_attribute("error.type", error_type)
    span.set_status(SpanStatus(StatusCode.ERROR, message[:1000]))
