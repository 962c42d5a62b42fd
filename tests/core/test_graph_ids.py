"""Ids outlive versions: a graph that uses nothing of section 5 keeps the id that it had before there was any."""

from __future__ import annotations

from typing import Any

import pytest

from service.core.graph import Graph
from service.core.validation import read_graph
from tests.support.core.strategies import TOOLS

NO_ARRAY = {"not": {"key": "x", "op": "is_type", "value": "array"}}
CONDITION = {
    "all": [
        {"key": "/a~1b/0", "op": "in", "value": [1, 1.0, "1"]},
        {"any": [NO_ARRAY, {"key": "x.y", "op": "!=", "value_from": "z"}]},
    ]
}
BEFORE: dict[str, tuple[dict[str, Any], str]] = {
    "smallest": ({"start_node": "a", "nodes": {"a": "add"}}, "293502fcbbb6db8628c7524ac1194d80"),
    "shorthands": (
        {
            "start_node": "a",
            "nodes": {"a": "add", "b": {"tool": "add"}, "c": "detect"},
            "edges": {"a": "b", "b": {"to": "c", "condition": {"key": "n", "op": "exists"}}, "c": []},
        },
        "68a12dce7960326b16e50c7a1618fbc7",
    ),
    "loop": (
        {
            "name": "data-quality",
            "start_node": "profile",
            "max_steps": 10000,
            "nodes": {
                "profile": {"tool": "profile", "metadata": {"sample": 1000}},
                "detect": "detect",
                "apply": {"tool": "add"},
            },
            "edges": {
                "profile": "detect",
                "detect": [{"to": "apply", "condition": {"key": "anomaly_count", "op": ">", "value": 2}}, {"to": None}],
                "apply": "profile",
            },
        },
        "029d7449696924b8f3d7f041cb4ad89c",
    ),
    "everything": (
        {
            "name": "é/~\n",
            "start_node": "b/c",
            "max_steps": 2**63 - 1,
            "nodes": {
                "b/c": {"tool": "add", "metadata": {"z": [1, 1.0, -0.0, None, True, 2**70], "a": {"é": "😀"}}},
                "d~e": "add",
            },
            "edges": {
                "b/c": [
                    {"to": "d~e", "condition": CONDITION},
                    {"to": None, "condition": {"key": "e", "op": "exists", "value": False}},
                    "b/c",
                ],
                "d~e": {"to": "b/c"},
            },
        },
        "3cdf21b44b1ca9a13219e4b7e15dee2d",
    ),
}


def id_of(nodes: dict[str, Any], *edges: Any) -> str:
    return read_graph({"start_node": "a", "nodes": nodes, "edges": {"a": list(edges)}}, TOOLS).id


@pytest.mark.parametrize(("document", "graph_id"), BEFORE.values(), ids=BEFORE)
def test_a_graph_keeps_its_id(document: dict[str, Any], graph_id: str) -> None:
    graph = read_graph(document, TOOLS)
    assert graph.id == graph_id
    assert Graph.load(graph.text).id == graph_id


SIGNAL = {"signal": "go"}
GRAPH = {"graph": "g", "into": "x"}
TOOL = {"tool": "add"}
RETRY = {"max_attempts": 3, "backoff_s": 1, "backoff_rate": 2, "max_backoff_s": 60}


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (TOOL, {**TOOL, "isolate": False, "metadata": {}}),
        (SIGNAL, {**SIGNAL, "into": "go"}),
        ({**TOOL, "retry": {}}, {**TOOL, "retry": RETRY}),
        ({**SIGNAL, "retry": {"on": ["timeout"]}}, {**SIGNAL, "retry": {**RETRY, "on": ["timeout"]}, "into": "go"}),
    ],
)
def test_a_default_makes_no_difference(short: Any, long: Any) -> None:
    assert id_of({"a": short}) == id_of({"a": long})


def test_where_an_errors_record_goes_by_default_makes_no_difference() -> None:
    catch = {"to": "a", "on_error": True}
    assert id_of({"a": TOOL}, catch) == id_of({"a": TOOL}, {**catch, "into": "error"})


@pytest.mark.parametrize(
    ("node", "options"),
    [
        (
            TOOL,
            [
                {"isolate": True},
                {"pure": False},
                {"on": "cluster"},
                {"on": {"cluster": {"resources": {"GPU": 1}}}},
                {"on": {"cluster": {"resources": {"GPU": 1.0}}}},
                {"timeout_s": 1},
                {"timeout_s": 1.0},
                {"max_visits": 1},
                {"retry": {}},
            ],
        ),
        (TOOL, [{"retry": {"on": on}} for on in (["timeout"], ["timeout", "tool_error"], ["tool_error", "timeout"])]),
        (TOOL, [{"retry": {name: 5}} for name in RETRY]),
        (SIGNAL, [{"into": "other"}, {"signal": "other"}, {"timeout_s": 5}]),
        (GRAPH, [{"into": "y"}, {"graph": "h"}, {"for_each": "z"}, {"max_parallel": 1}]),
        (GRAPH, [{"input": keys} for keys in ([], ["p"], ["p", "q"], ["q", "p"])]),
        ({"sleep": 5}, [{"sleep": value} for value in (5.0, 6, {"until": "5"}, {"until": "t"})]),
    ],
    ids=lambda value: f"{value!r:.50}",
)
def test_whatever_a_node_says_counts(node: dict[str, Any], options: list[dict[str, Any]]) -> None:
    ids = {id_of({"a": node})} | {id_of({"a": {**node, **option}}) for option in options}
    assert len(ids) == 1 + len(options)


def test_whatever_an_error_edge_says_counts() -> None:
    catch = {"to": "a", "on_error": ["timeout"]}
    others: list[Any] = [
        *({**catch, change: value} for change, value in (("to", None), ("on_error", True), ("into", "why"))),
        *({**catch, "on_error": types} for types in (["tool_error"], ["timeout", "tool_error"])),
        {**catch, "condition": {"key": "n", "op": "exists"}},
        {"to": "a"},
    ]
    assert len({id_of({"a": TOOL}, edge) for edge in [catch, *others]}) == 1 + len(others)
    assert id_of({"a": TOOL}, catch, "a") != id_of({"a": TOOL}, "a", catch)
