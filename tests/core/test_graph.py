"""A graph is its content: one definition has one id, however it is written down."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from service.core import codec
from service.core.graph import Graph
from service.core.validation import read_graph
from tests.support.core.strategies import TOOLS, graph_documents


def read(document: Any) -> Graph:
    return read_graph(document, TOOLS)


def with_value(value: Any) -> Graph:
    edge = {"to": "a", "condition": {"key": "n", "op": "==", "value": value}}
    return read({"start_node": "a", "nodes": {"a": "add"}, "edges": {"a": edge}})


@given(graph_documents())
def test_the_canonical_form_defines_the_same_graph(document: dict[str, Any]) -> None:
    graph = read(document)
    again = read(graph.document())
    assert again == graph
    assert (again.id, again.text, again.document()) == (graph.id, graph.text, graph.document())


@given(graph_documents())
def test_a_stored_graph_loads_as_the_graph_that_was_posted(document: dict[str, Any]) -> None:
    graph = read(document)
    loaded = Graph.load(graph.text)
    assert loaded == graph
    assert loaded.text == graph.text
    assert Graph.load(codec.encode(graph.document())).id == graph.id


@given(graph_documents())
def test_a_graph_survives_its_way_over_http(document: dict[str, Any]) -> None:
    assert read(codec.decode(json.dumps(document).encode())).id == read(document).id


SHORT: dict[str, Any] = {
    "start_node": "a",
    "nodes": {"a": "add", "b": {"tool": "add"}, "c": "detect"},
    "edges": {"a": "b", "b": {"to": "c", "condition": {"key": "n", "op": "exists"}}, "c": []},
}
LONG = {
    "edges": {
        "b": [{"condition": {"value": True, "op": "exists", "key": "n"}, "to": "c"}],
        "a": [{"to": "b"}],
    },
    "nodes": {
        "c": {"metadata": {}, "tool": "detect"},
        "b": {"tool": "add", "metadata": {}},
        "a": {"tool": "add"},
    },
    "max_steps": 10_000,
    "name": "",
    "start_node": "a",
}


def test_shorthands_defaults_and_the_order_of_keys_make_no_difference() -> None:
    assert read(SHORT).id == read(LONG).id == read({**SHORT, "edges": {**SHORT["edges"], "a": ["b"]}}).id
    assert len(read(SHORT).id) == 32


@pytest.mark.parametrize(
    "change",
    [
        {"name": "n"},
        {"max_steps": 9_999},
        {"start_node": "b"},
        {"nodes": {"a": "add", "b": "add", "c": {"tool": "detect", "metadata": {"x": 1}}}},
        {"edges": {"a": "b"}},
    ],
)
def test_whatever_the_graph_says_counts(change: dict[str, Any]) -> None:
    assert read({**SHORT, **change}).id != read(SHORT).id


def test_the_order_of_edges_counts() -> None:
    ways = [{"to": name, "condition": {"key": "n", "op": "exists"}} for name in "ab"]
    ids = {read({**SHORT, "edges": {"a": edges}}).id for edges in (ways, ways[::-1])}
    assert len(ids) == 2


def test_numbers_that_are_equal_but_written_otherwise_make_other_graphs() -> None:
    values = [5, 5.0, "5", True, 1, 1.0, None, -0.0, 0.0, 0, 2**64, float(2**64)]
    assert len({with_value(value).id for value in values}) == len(values)
    assert len({with_value({"deep": [value]}).id for value in values}) == len(values)


def test_what_is_loaded_keeps_the_types_of_its_literals() -> None:
    for value in (True, 1, 1.0, "1", -0.0, 2**70, None, [1, True, 1.0]):
        assert repr(Graph.load(with_value(value).text).edges["a"][0].condition) == repr(
            with_value(value).edges["a"][0].condition
        )


def test_conditions_at_their_deepest_load_at_once() -> None:
    condition: Any = {"key": "n", "op": "==", "value": 1}
    for level in range(31):
        condition = ({"not": condition}, {"all": [condition]}, {"any": [condition]})[level % 3]
    graph = read({**SHORT, "edges": {"a": {"to": "a", "condition": condition}}})
    assert Graph.load(graph.text) == graph
    codec.decode(graph.text.encode())  # And its text is within the depth of a body.


def test_nodes_that_nothing_leads_to_are_told_in_their_order() -> None:
    document = {
        "start_node": "a",
        "nodes": dict.fromkeys(("z", "a", "b", "y", "c"), "add"),
        "edges": {"a": [{"to": "b", "condition": {"key": "n", "op": "exists"}}, "a"], "z": "c", "b": {"to": None}},
    }
    assert read(document).unreachable() == ["z", "y", "c"]
    assert read({**document, "edges": {"a": "z", "z": "y", "y": "c", "c": "b", "b": "a"}}).unreachable() == []
