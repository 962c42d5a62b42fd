"""The schema of the graph document against `read_graph`: what it refuses is refused, and it refuses what it can."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.responses.examples import GRAPHS
from service.api.responses.graph_schema import GRAPH_SCHEMAS
from service.core.errors import Invalid
from service.core.graph import Graph
from service.core.validation import read_graph
from tests.support.core.reading import GOOD, edge, node
from tests.support.core.strategies import TOOLS, graph_documents, json_values, nodes

VALIDATOR = jsonschema_rs.Draft202012Validator(
    {"$ref": "#/components/schemas/GraphDocument", "components": {"schemas": GRAPH_SCHEMAS}}
)


def is_accepted(document: Any) -> bool:
    return VALIDATOR.is_valid(document)


@given(graph_documents())
def test_every_graph_is_one_by_the_schema(document: dict[str, Any]) -> None:
    assert is_accepted(document)
    assert is_accepted(read_graph(document, TOOLS).document())


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to all values inside `value`."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [(*at, key) for key, _ in inner]
    return found + [place for way in found for place in places(value[way[-1]], way)]


# What is nearly right is told apart best; and any JSON at all.
_ODD: list[Any] = [None, True, 0, -1, 0.5, 2**63, "", "a", "add", "timeout", [], {}, ["timeout"]]
_odd = st.sampled_from(_ODD) | nodes | json_values


@given(graph_documents(), st.data())
def test_what_the_schema_refuses_is_refused(document: dict[str, Any], data: st.DataObject) -> None:
    *way, last = data.draw(st.sampled_from(places(document)))
    holder: Any = document
    for key in way:
        holder = holder[key]
    match data.draw(st.sampled_from(["replace", "add", "remove"])):
        case "replace":
            holder[last] = data.draw(_odd)
        case "add" if isinstance(holder, dict):
            field = data.draw(st.sampled_from(["tool", "sleep", "signal", "graph", "into", "on_error", "retry", "x"]))
            holder[field] = data.draw(_odd)
        case _:
            del holder[last]
    with suppress(Invalid):
        assert isinstance(read_graph(document, TOOLS), Graph)
        assert is_accepted(document)


TOOL = {"tool": "add"}
SLEEP = {"sleep": 1}
SIGNAL = {"signal": "go"}
GRAPH = {"graph": "g", "into": "x"}
CATCH = {"to": "b", "on_error": True}
NO_SECONDS: list[Any] = [None, "1", True, -1, 10**10]
NO_UNTIL: list[Any] = [{}, {"until": ""}, {"until": "t", "x": 1}]
NO_COUNT: list[Any] = [0, 1.5, None, "1", 2**63]
NO_KEYS: list[Any] = [None, "k", [""], [1]]
NO_RETRY: list[Any] = [None, 3, {"x": 1}, {"max_attempts": 0}, {"backoff_rate": 0.5}, {"backoff_rate": 1001}]
NO_TYPES: list[Any] = [False, None, [], "timeout", ["x"], 1]
NO_EDGE: list[Any] = [{"to": "b", "into": "x"}, {"on_error": True}, {**CATCH, "x": 1}, {**CATCH, "into": ""}]
WRONG: list[Any] = [
    {**GOOD, "version": 1},
    {**GOOD, "max_steps": 0},
    *(node({**kind, "x": 1}) for kind in (TOOL, SLEEP, SIGNAL, GRAPH)),
    *(node({**kind, "tool": "add"}) for kind in (SLEEP, SIGNAL, GRAPH)),
    *(node({**kind, "into": "x"}) for kind in (TOOL, SLEEP)),
    *(node({**TOOL, "on": on}) for on in (None, "x", {}, {"cluster": 1}, {"cluster": {"resources": {"GPU": 0}}})),
    node({**TOOL, "on": "cluster", "isolate": True}),
    *(node({**kind, "isolate": True}) for kind in (SLEEP, SIGNAL, GRAPH)),
    *(node({**kind, "metadata": {}}) for kind in (SLEEP, SIGNAL, GRAPH)),
    *(node({**kind, "for_each": "x"}) for kind in (TOOL, SLEEP, SIGNAL)),
    *(node(value) for value in ({}, {"into": "x"}, {"graph": "g"}, {"signal": ""})),
    *(node({"sleep": value}) for value in NO_SECONDS + NO_UNTIL),
    *(node({**TOOL, "timeout_s": value}) for value in [*NO_SECONDS, 0]),
    *(node({**TOOL, "max_visits": value}) for value in NO_COUNT),
    *(node({**GRAPH, "max_parallel": value}) for value in NO_COUNT),
    *(node({**GRAPH, "input": value}) for value in NO_KEYS),
    *(node({**TOOL, "retry": value}) for value in NO_RETRY),
    *(node({**TOOL, "retry": {"on": value}}) for value in [*NO_TYPES, True]),
    *(edge({**CATCH, "on_error": value}) for value in NO_TYPES),
    *(edge(value) for value in NO_EDGE),
]


@pytest.mark.parametrize("document", WRONG, ids=lambda value: f"{value!r:.90}")
def test_the_schema_is_strict(document: Any) -> None:
    assert not is_accepted(document)
    with pytest.raises(Invalid):
        read_graph(document, TOOLS)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_examples_are_graphs(name: str) -> None:
    example = GRAPHS[name]["value"]
    assert is_accepted(example)
    assert isinstance(example, dict)
    tools = {node if isinstance(node, str) else node.get("tool", "") for node in example["nodes"].values()}
    assert not read_graph(example, tools).unreachable()
