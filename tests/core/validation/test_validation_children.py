"""Nodes that name graphs: one, or several by the names of their branches; and the document's `$schema`."""

from __future__ import annotations

from typing import Any

import pytest

from service.core.graph import Graph, GraphNode
from service.core.validation import child_graphs, missing_graphs, pin, read_graph
from tests.support.core.reading import GOOD, faults, node, pointers

BRANCHES = {"graphs": {"y": "g", "x": "h"}, "into": "both"}


def test_branches_are_read_and_written_back() -> None:
    graph = read_graph(node({**BRANCHES, "input": ["n"], "max_parallel": 1}), [])
    found = Graph.load(graph.text).nodes["a"]
    assert isinstance(found, GraphNode)
    assert found.branches == (("x", "h"), ("y", "g"))
    assert graph.document()["nodes"]["a"] == {**BRANCHES, "input": ["n"], "max_parallel": 1}
    assert read_graph(node({**BRANCHES, "graphs": {"x": "h", "y": "g"}}), []).id == read_graph(node(BRANCHES), []).id


@pytest.mark.parametrize(
    ("part", "at"),
    [
        ({"graphs": {}}, "/nodes/a/graphs"),
        ({"graphs": ["g"]}, "/nodes/a/graphs"),
        ({"graphs": {"x": 1}}, "/nodes/a/graphs/x"),
        ({"graphs": {"x": ""}}, "/nodes/a/graphs/x"),
        ({"graphs": {"": "g"}}, "/nodes/a/graphs/"),
        ({"for_each": "items"}, "/nodes/a/for_each"),
        ({"graph": "g"}, "/nodes/a"),
        ({"graph": None}, "/nodes/a"),
    ],
)
def test_faults_of_branches(part: Any, at: str) -> None:
    assert pointers(node({**BRANCHES, **part})) == [at]


def test_branches_need_a_key_for_their_result() -> None:
    assert faults(node({"graphs": {"x": "g"}}))[0][1].startswith("`into` is required")


def test_names_are_replaced_by_ids() -> None:
    document = {**GOOD, "nodes": {"a": BRANCHES, "b": {"graph": "g", "into": "x"}, "c": "add"}}
    assert [(found.at, found.graph) for found in child_graphs(document)] == [
        (("nodes", "a", "graphs", "y"), "g"),
        (("nodes", "a", "graphs", "x"), "h"),
        (("nodes", "b", "graph"), "g"),
    ]
    pinned = pin(document, {"g": "1", "h": "h"})
    assert pinned["nodes"]["a"]["graphs"] == {"y": "1", "x": "h"}
    assert pinned["nodes"]["b"]["graph"] == "1"
    assert document["nodes"]["a"] is BRANCHES
    assert pin(document, {}) is document
    assert [fault.pointer for fault in missing_graphs(document, {"g": "1"})] == ["/nodes/a/graphs/x"]


@pytest.mark.parametrize("document", [None, [], {}, {"nodes": []}, {"nodes": {"a": 1, "b": {"graph": 1, "graphs": 2}}}])
def test_a_document_without_nodes_names_no_graph(document: Any) -> None:
    assert child_graphs(document) == []


def test_a_schema_is_no_part_of_the_graph() -> None:
    with_schema = {"$schema": "../graph.json", **GOOD}
    graph = read_graph(with_schema, ["add", "detect"])
    assert graph.id == read_graph(GOOD, ["add", "detect"]).id
    assert "$schema" not in graph.document()
    assert pointers({**GOOD, "$schema": 1}) == ["/$schema"]
