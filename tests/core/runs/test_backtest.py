"""Backtest: what a graph says to a step that another one's run has made, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from service.core.graph import Graph
from service.core.routing.backtest import Routed, applies_to, detour
from service.core.routing.conditions import Reason
from service.core.state import State
from service.core.validation import read_graph

TOOLS = ("add",)


def graph(edges: Any) -> Graph:
    return read_graph({"start_node": "a", "nodes": {"a": "add", "b": "add"}, "edges": {"a": edges}}, TOOLS)


def state(**members: Any) -> State:
    return State.of(members, 2**20)


def compare(key: str, op: str, value: Any) -> dict[str, Any]:
    return {"key": key, "op": op, "value": value}


@pytest.mark.parametrize(
    ("node", "reason", "asked"),
    [
        ("a", Reason.CONDITION, True),
        ("a", Reason.UNCONDITIONAL, True),
        ("a", Reason.NO_EDGES, True),
        ("a", Reason.NONE_TRUE, True),
        ("a", Reason.ON_ERROR, False),
        (None, Reason.PATCH, False),
        ("gone", Reason.CONDITION, False),
    ],
)
def test_which_steps_are_asked(node: str | None, reason: Reason, asked: bool) -> None:
    assert applies_to(graph("b"), Routed(1, node, "b", reason)) is asked


@pytest.mark.parametrize("went", ["b", None])
def test_the_same_way_is_no_detour_whatever_its_reason(went: str | None) -> None:
    edges = [{"to": went, "condition": compare("n", ">", 0)}, {"to": went}]
    assert detour(graph(edges), Routed(1, "a", went, Reason.NO_EDGES), state(n=1)) is None
    assert detour(graph(edges), Routed(1, "a", went, Reason.NO_EDGES), state(n=0)) is None


@pytest.mark.parametrize(
    ("edges", "went", "would_go", "because"),
    [
        ([], "b", None, "the node has no edges"),
        ("b", None, "b", "edge 1 has no condition"),
        ({"to": "b", "condition": compare("n", ">", 1)}, None, "b", "edge 1 is the first true edge, with n = 5"),
        ({"to": "b", "condition": compare("n", ">", 9)}, "b", None, "none of 1 edges is true, with n = 5"),
        (
            [{"to": "a", "condition": compare("n", ">", 9)}, {"to": "a", "condition": compare("m.0", "<", 2)}, "b"],
            "a",
            "b",
            "edge 3 has no condition, with n = 5, m.0 = 7",
        ),
        (
            {"to": "b", "condition": compare("x", ">", 9)},
            "b",
            None,
            "condition_error: the state has nothing at 'x'; there is 'n', 'm'",
        ),
        # Also where the run had ended: a graph that fails does not do the same.
        (
            {"to": "b", "condition": compare("x", ">", 9)},
            None,
            None,
            "condition_error: the state has nothing at 'x'; there is 'n', 'm'",
        ),
    ],
)
def test_a_detour_says_where_to_and_why(edges: Any, went: str | None, would_go: str | None, because: str) -> None:
    found = detour(graph(edges), Routed(3, "a", went, Reason.CONDITION), state(n=5, m=[7]))
    assert found is not None
    assert (found.would_go, found.because()) == (would_go, because)


def test_error_edges_are_not_asked() -> None:
    edges = [{"to": "b", "on_error": True}, {"to": None}]
    assert detour(graph(edges), Routed(1, "a", None, Reason.NO_EDGES), state()) is None


def test_words_are_few_however_large_the_values() -> None:
    asked = [compare(f"k{number}", "!=", None) for number in range(20)]
    found = detour(
        graph({"to": "b", "condition": {"all": asked}}),
        Routed(1, "a", None, Reason.CONDITION),
        state(**{f"k{number}": "x" * 10_000 for number in range(20)}),
    )
    assert found is not None
    assert len(found.because()) < 1000
    assert found.because().endswith(", …")
