"""A simulation does what an engine does: the same steps, decisions, attempts, lines and states."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, event, given, settings

from service.simulation import simulate
from tests.support.engine.harness import Bench, bench
from tests.support.loading import nothing_loaded
from tests.support.simulation.graphs import CHILDREN, TOOLS, Case, cases
from tests.support.simulation.reality import executed, told

EXAMPLES = int(os.environ.get("RUNGRAPH_SIMULATED_GRAPHS", "25"))


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def made(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A database with the tools of the random graphs, and no engine."""
    opening = bench(tmp_path_factory.mktemp("real"), TOOLS)
    with nothing_loaded():
        yield runner.run(opening.__aenter__())
    runner.run(opening.__aexit__(None, None, None))


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(case=cases())
def test_random_graphs_have_the_same_trace(runner: asyncio.Runner, made: Bench, case: Case) -> None:
    run_id = str(uuid.uuid4())
    trace = simulate(
        case.graph, tools=TOOLS, state=case.state, signals=case.signals, graphs=CHILDREN.values(), run_id=run_id
    )
    event(f"{trace.status}, {len(trace.children)} children, {trace.error and trace.error['type']}")
    found = runner.run(executed(made, trace, case.graph, case.state, case.signals, CHILDREN.values()))
    assert told(trace) == found
