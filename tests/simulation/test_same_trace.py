"""A simulation does what an engine does: the same steps, decisions, attempts, lines and states."""

from __future__ import annotations

import asyncio
import os
import uuid

from hypothesis import HealthCheck, event, given, settings

from service.core.tool import Tool
from service.simulation import simulate
from tests.support.engine.harness import Bench
from tests.support.simulation.graphs import CHILDREN, TOOLS, Case, cases
from tests.support.simulation.reality import executed, told

EXAMPLES = int(os.environ.get("RUNGRAPH_SIMULATED_GRAPHS", "25"))


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(case=cases())
def test_random_graphs_have_the_same_trace(runner: asyncio.Runner, made: Bench, case: Case) -> None:
    made.tools = {tool.__name__: Tool.of(tool) for tool in TOOLS}
    run_id = str(uuid.uuid4())
    trace = simulate(
        case.graph, tools=TOOLS, state=case.state, signals=case.signals, graphs=CHILDREN.values(), run_id=run_id
    )
    event(f"{trace.status}, {len(trace.children)} children, {trace.error and trace.error['type']}")
    found = runner.run(executed(made, trace, case.graph, case.state, case.signals, CHILDREN.values()))
    assert told(trace) == found
