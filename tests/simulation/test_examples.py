"""Each example graph has the same trace in a simulation and in an engine; the data quality example too."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from service import example
from service.core.tool import JsonObject
from service.simulation import simulate
from service.tools import registry
from tests.support.checkout import CHECKOUT
from tests.support.engine.harness import Bench
from tests.support.loading import nothing_loaded
from tests.support.simulation.reality import executed, told

CASES: dict[str, tuple[JsonObject, list[tuple[str, Any]], list[str]]] = {
    "first_steps": ({"number": 2}, [], ["guess", *["improve"] * 4, "report"]),
    "order_approval": ({"price": 5}, [("approval", {"granted": False})], ["reserve", "approve", "release"]),
    "etl_with_retries": ({}, [], ["list", "pages", "load", "warn"]),
    "agent_loop": ({"order_id": "A-17"}, [("approval", {"granted": True})], []),
}


@pytest.mark.parametrize("name", CASES)
def test_an_example(runner: asyncio.Runner, made: Bench, name: str) -> None:
    state, signals, nodes = CASES[name]
    folder = CHECKOUT / "examples" / name
    graph = json.loads((folder / "graph.json").read_text())
    children = [json.loads(file.read_text()) for file in folder.glob("*.json") if file.name != "graph.json"]
    with nothing_loaded():
        made.tools = dict(registry.load([str(folder / "tools.py")], ()))
        tools = [tool.function for tool in made.tools.values()]
        run_id = str(uuid.uuid4())
        trace = simulate(graph, tools=tools, state=state, signals=signals, graphs=children, run_id=run_id)
        assert nodes in ([], trace.path)
        assert told(trace) == runner.run(executed(made, trace, graph, state, signals, children))


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(text)


def test_data_quality(runner: asyncio.Runner, made: Bench, tmp_path: Path) -> None:
    table = "id,value\n" + "".join(f"{number},{number if number != 5 else 'NA'}\n" for number in range(40))
    source = {"kind": "csv", "file": "input.csv"}
    state = example.initial_state(source, 0, {"mode": "mend", "allow": [], "keep": [], "options": {}})
    run_id = str(uuid.uuid4())
    write(tmp_path / "simulated" / run_id / "input.csv", table)
    trace = simulate(example.GRAPH, state=state, run_id=run_id, folder=tmp_path / "simulated")
    assert trace.state["stopped_because"] == "threshold_met"
    made.tools = {tool.name: tool for tool in example.TOOLS}
    write(made.runs_folder / run_id / "input.csv", table)
    assert told(trace) == runner.run(executed(made, trace, example.GRAPH, state))
    left = sorted(file.name for file in (made.runs_folder / run_id).iterdir())
    assert sorted(file.name for file in (tmp_path / "simulated" / run_id).iterdir()) == left
