"""Error edges: how they are read among the ordinary ones, and what is wrong with what is none."""

from __future__ import annotations

from typing import Any

import pytest

from service.core.graph import Edge, Graph
from service.core.validation import read_graph
from tests.support.core.reading import HOLDS, edge, faults, pointers
from tests.support.core.strategies import TOOLS

AT = "/edges/a"
CATCH: dict[str, Any] = {"to": "b", "on_error": True}
NO_TYPES: list[Any] = [False, None, 1, [], "timeout", {"type": "timeout"}]
NO_TYPE: list[Any] = ["", "tool_eror", None, True, ["timeout"]]
NO_KEY: list[Any] = ["", None, 1, ["k"], "\0"]


def read(edges: Any) -> Graph:
    return read_graph(edge(edges), TOOLS)


def test_an_error_edge_is_for_any_error_or_for_those_it_names() -> None:
    for on_error in (True, ["timeout"], ["tool_error", "child_failed"]):
        [made] = read({**CATCH, "on_error": on_error}).edges["a"]
        types = on_error if on_error is True else tuple(on_error)
        assert made == Edge(to="b", on_error=types, into="error")
        assert made.document() == {"to": "b", "on_error": on_error, "into": "error"}
    assert read({**CATCH, "into": "why"}).edges["a"][0].into == "why"


def test_success_and_failure_know_their_own_edges_in_order() -> None:
    catching = [{**CATCH, "on_error": types} for types in (["timeout"], True, ["tool_error", "timeout"])]
    graph = read([catching[0], {"to": "b", "condition": HOLDS}, catching[1], "a", catching[2]])
    assert [made.to for made in graph.edges_from("a")] == ["b", "a"]
    for error_type, indexes in (("timeout", (0, 1, 2)), ("tool_error", (1, 2)), ("crash_loop", (1,))):
        assert [made.document() for made in graph.edges_on_error("a", error_type)] == [
            {**catching[index], "into": "error"} for index in indexes
        ]
    assert graph.edges_from("b") == graph.edges_on_error("b", "timeout") == ()


@pytest.mark.parametrize("edges", [CATCH, [CATCH], [CATCH, "b"], ["b", CATCH], [CATCH, "b", CATCH], [CATCH, CATCH]])
def test_an_unconditional_edge_is_the_last_of_the_ordinary_ones_only(edges: Any) -> None:
    read(edges)


def test_an_unconditional_edge_before_another_ordinary_one_is_a_fault_whatever_stands_between() -> None:
    assert pointers(edge([CATCH, "b", CATCH, {"to": "b", "condition": HOLDS}])) == [f"{AT}/1"]


def test_an_error_edge_leads_somewhere_too() -> None:
    document = {"start_node": "a", "nodes": dict.fromkeys("abc", "add"), "edges": {"a": {"to": "c", "on_error": True}}}
    assert read_graph(document, TOOLS).unreachable() == ["b"]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        *(({**CATCH, "on_error": value}, ["/on_error"]) for value in NO_TYPES),
        *(({**CATCH, "on_error": ["timeout", value]}, ["/on_error/1"]) for value in NO_TYPE),
        *(({**CATCH, "into": value}, ["/into"]) for value in NO_KEY),
        ({"on_error": True}, [""]),
        ({"to": "c", "on_error": True}, ["/to"]),
        ({**CATCH, "condition": None}, ["/condition"]),
        ({**CATCH, "retry": {}}, ["/retry"]),
        (
            {"to": "c", "on_error": ["x"], "into": "", "condition": {}},
            ["/to", *["/condition"] * 2, "/into", "/on_error/0"],
        ),
    ],
    ids=lambda value: f"{value!r:.60}",
)
def test_each_fault_of_an_error_edge_points_to_its_place(document: Any, expected: list[str]) -> None:
    assert pointers(edge(document)) == [AT + at for at in expected]
    assert pointers(edge(["a", document])) == [f"{AT}/1{at}" for at in expected]


def test_an_ordinary_edge_has_no_record_to_put_anywhere() -> None:
    for document in ({"to": "b", "into": "error"}, {"to": "b", "into": 1, "condition": HOLDS}):
        [(at, message)] = faults(edge(document))
        assert at == f"{AT}/into"
        assert "on_error" in message


def test_a_misspelt_type_or_field_comes_with_the_closest_match() -> None:
    [(_, message)] = faults(edge({**CATCH, "on_error": ["tool_eror"]}))
    assert message.endswith("did you mean 'tool_error'?")
    [(_, message)] = faults(edge({"to": "b", "on_eror": True}))
    assert message.endswith("did you mean 'on_error'?")
