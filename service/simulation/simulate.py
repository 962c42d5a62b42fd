"""Run a graph in memory and return what it did."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.core import codec
from service.core.errors import Invalid, StateInvalid
from service.core.graph import Graph, SignalNode
from service.core.state import State
from service.core.validation.spelling import closest
from service.simulation.attempts import Failures, InjectedFailures, ToolCalls
from service.simulation.family import Family
from service.simulation.graphs import Graphs, PostedGraphs
from service.simulation.member import Member
from service.simulation.substitutes import GivenTools, tools_of
from service.simulation.trace import Trace, trace_of

STATE_BYTES_MAX = 16 * 2**20
RUN_ID = "00000000-0000-7000-8000-000000000000"
NOW = datetime(2030, 1, 1, tzinfo=UTC)

Signals = Mapping[str, Any] | Iterable[tuple[str, Any] | tuple[str, Any, float]]


def simulate(
    graph: Mapping[str, Any],
    *,
    tools: GivenTools = None,
    state: Mapping[str, Any] | None = None,
    signals: Signals = (),
    now: datetime = NOW,
    failures: Failures | None = None,
    graphs: Graphs = (),
    run_id: str = RUN_ID,
    folder: str | Path | None = None,
) -> Trace:
    """Run a graph in memory until the run is over or paused, or nothing can end its wait. Return what the run did.

    Sleeps, backoffs and waits take no real time: the clock shows `now` at the start and jumps to their ends.

    - `tools` replace declared tools: a mapping of names to functions or canned results, or a list of functions.
    - `signals` are sent to the run: a mapping of names to payloads, or tuples `(name, payload[, seconds from start])`.
    - `failures` fail attempts: a mapping of step numbers or node names to error types, exceptions, or lists of these.
    - `graphs` are the graphs that nodes start as children, in the order in which they would be posted.
    - `folder` keeps the files of each run in a subfolder with the run's id. If it is None, the files are removed.

    Raise Invalid for a bad graph, state or signal, TypeError for a bad tool, and ValueError for a bad failure.
    """
    posted = PostedGraphs(known := tools_of(tools))
    posted.post_all(graphs)
    read = posted.post(dict(graph))
    sent = _deliveries(signals, read)
    place = _temporary() if folder is None else Path(folder)
    calls = ToolCalls(known, place, STATE_BYTES_MAX)
    family = Family(posted, calls, InjectedFailures(failures or {}, posted.nodes), _microseconds(now), STATE_BYTES_MAX)
    root = family.start(run_id, read, _state_of(state or {}))
    family.deliver(sent)
    try:
        family.execute(root)
    finally:
        calls.close()
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)
    return _trace(family, root)


def _trace(family: Family, member: Member) -> Trace:
    children = tuple(_trace(family, child) for child in family.children_of(member.run.id))
    return trace_of(member, children, family.now_us)


def _state_of(value: Mapping[str, Any]) -> State:
    try:
        return State.of(dict(value), STATE_BYTES_MAX)
    except StateInvalid as error:
        raise Invalid.at("/state", str(error)) from error


def _deliveries(signals: Signals, graph: Graph) -> list[tuple[float, str, str]]:
    given = signals.items() if isinstance(signals, Mapping) else signals
    expected = {node.signal for node in graph.nodes.values() if isinstance(node, SignalNode)}
    found = []
    for name, payload, *after_s in given:
        if name not in expected:  # A server refuses such a signal too.
            fault = f"no node of the graph waits for the signal {name!r:.200}{closest(name, expected)}"
            raise Invalid.at(f"/signals/{name}", fault)
        try:
            codec.check(payload)
        except codec.ValueUnfit as unfit:
            raise Invalid.at(f"/signals/{name}", unfit.message) from unfit
        found.append((after_s[0] if after_s else 0.0, name, codec.encode(payload)))
    return found


def _microseconds(now: datetime) -> int:
    """Return a time in microseconds since 1970. A time without an offset is in UTC."""
    aware = now if now.tzinfo is not None else now.replace(tzinfo=UTC)
    return round((aware - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)


def _temporary() -> Path:
    """Return the path of a folder that does not exist yet. A tool that uses its folder creates it."""
    return Path(tempfile.gettempdir()) / f"rungraph-simulation-{uuid.uuid4()}"
