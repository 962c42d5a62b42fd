"""Everything that is wrong with a posted graph, all at once, each at its place in the document as it was sent."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.errors import Invalid
from service.core.graph import Graph
from service.core.validation import read_graph
from service.core.validation.faults import FAULTS_LENGTH_MAX, FAULTS_MAX
from tests.support.core.reading import GOOD, HOLDS, condition, edge, faults, pointers
from tests.support.core.strategies import TOOLS, graph_documents, json_values

AT = "/edges/a/condition"


REFUSED: list[Any] = [
    *((None, [""]), ([], [""]), ("a", [""]), (1, [""]), (True, [""])),
    ({}, ["", ""]),
    ({"nodes": {"a": "add"}}, [""]),
    ({"start_node": "a"}, [""]),
    ({"start_node": "a", "nodes": {}}, ["/nodes", "/start_node"]),
    ({"start_node": "a", "nodes": ["a"]}, ["/nodes"]),
    ({**GOOD, "start_node": "c"}, ["/start_node"]),
    ({**GOOD, "start_node": None}, ["/start_node"]),
    ({**GOOD, "name": None}, ["/name"]),
    *(({**GOOD, "max_steps": value}, ["/max_steps"]) for value in (0, -1, True, 5.0, "5", None, 2**63)),
    ({**GOOD, "version": 1}, ["/version"]),
    ({**GOOD, "a/b~c": 1}, ["/a~1b~0c"]),
    ({"start_node": "", "nodes": {"": "add"}}, ["/nodes/"]),
    ({"start_node": "a/b", "nodes": {"a/b": "nope"}}, ["/nodes/a~1b"]),
    ({"start_node": "m~n", "nodes": {"m~n": {"tool": "nope"}}}, ["/nodes/m~0n/tool"]),
    ({**GOOD, "nodes": {"a": None}}, ["/nodes/a"]),
    ({**GOOD, "nodes": {"a": ["add"]}}, ["/nodes/a"]),
    ({**GOOD, "nodes": {"a": {}}}, ["/nodes/a"]),
    ({**GOOD, "nodes": {"a": {"tool": 1}}}, ["/nodes/a/tool"]),
    ({**GOOD, "nodes": {"a": {"tool": "add", "metadata": []}}}, ["/nodes/a/metadata"]),
    ({**GOOD, "nodes": {"a": {"tool": "add", "metadata": None, "x": 1}}}, ["/nodes/a/x", "/nodes/a/metadata"]),
    ({**GOOD, "edges": []}, ["/edges"]),
    ({**GOOD, "edges": None}, ["/edges"]),
    ({**GOOD, "edges": {"c": "a"}}, ["/edges/c"]),
    ({**GOOD, "edges": {"c/": []}}, ["/edges/c~1"]),
    *((edge(value), ["/edges/a"]) for value in (None, 1, True, "c", {}, {"condition": HOLDS})),
    (edge(["c"]), ["/edges/a/0"]),
    (edge([["b"]]), ["/edges/a/0"]),
    (edge([None]), ["/edges/a/0"]),
    (edge({"to": "c"}), ["/edges/a/to"]),
    (edge([{"to": "b", "condition": HOLDS}, {"to": 1}]), ["/edges/a/1/to"]),
    (edge({"to": "b", "when": 1}), ["/edges/a/when"]),
    (edge(["a", "b"]), ["/edges/a/0"]),
    (edge([{"to": "a"}, "b", {"to": "b", "condition": HOLDS}]), ["/edges/a/0", "/edges/a/1"]),
    *((condition(value), [AT]) for value in (None, [HOLDS], "n > 1", True, {"key": "n"}, {"op": "exists"})),
    (condition({}), [AT, AT]),
    (condition({"all": []}), [f"{AT}/all"]),
    (condition({"any": {}}), [f"{AT}/any"]),
    (condition({"not": []}), [f"{AT}/not"]),
    (condition({"not": None}), [f"{AT}/not"]),
    (condition({"all": [HOLDS, None]}), [f"{AT}/all/1"]),
    (condition({"all": [HOLDS], "any": [HOLDS]}), [f"{AT}/any"]),
    (condition({"any": [HOLDS], "key": "n"}), [f"{AT}/key"]),
    (condition({**HOLDS, "x": 1}), [f"{AT}/x"]),
    (condition({"key": "", "op": "exists"}), [f"{AT}/key"]),
    (condition({"key": "/~2", "op": "exists"}), [f"{AT}/key"]),
    (condition({"key": ["n"], "op": "exists"}), [f"{AT}/key"]),
    *((condition({"key": "n", "op": op, "value": 1}), [f"{AT}/op"]) for op in ("=", "regex", None, 1, ["=="], "EQ")),
    (condition({"key": "n", "op": "=="}), [AT]),
    (condition({"key": "n", "op": "is_type"}), [AT]),
    (condition({"key": "n", "op": "==", "value": 1, "value_from": "m"}), [f"{AT}/value_from"]),
    (condition({"key": "n", "op": "==", "value_from": None}), [f"{AT}/value_from"]),
    (condition({"key": "n", "op": "==", "value_from": ""}), [f"{AT}/value_from"]),
    *((condition({"key": "n", "op": op, "value": "abc"}), [f"{AT}/value"]) for op in ("in", "not_in")),
    *((condition({"key": "n", "op": "exists", "value": value}), [f"{AT}/value"]) for value in (1, None, "true")),
    *((condition({"key": "n", "op": "is_type", "value": value}), [f"{AT}/value"]) for value in ("int", None, ["null"])),
    *((condition({"key": "n", "op": op, "value_from": "m"}), [f"{AT}/value_from"]) for op in ("exists", "is_type")),
]


@pytest.mark.parametrize(("document", "expected"), REFUSED, ids=lambda value: f"{value!r:.60}")
def test_each_fault_points_into_the_document_as_it_was_sent(document: Any, expected: list[str]) -> None:
    assert pointers(document) == expected


def test_all_faults_come_back_at_once() -> None:
    document = {
        "start_node": "c",
        "max_steps": 0,
        "nodes": {"a": "nope", "b": {"tool": "nope", "x": 1}},
        "edges": {"a": [{"to": "c", "condition": {"all": [{"key": "", "op": "??"}, {"any": []}]}}], "d": "a"},
        "y": 1,
    }
    assert sorted(pointers(document)) == sorted(
        ["/start_node", "/max_steps", "/nodes/a", "/nodes/b/tool", "/nodes/b/x", "/edges/a/0/to", "/edges/d", "/y"]
        + [f"/edges/a/0/condition/all/{rest}" for rest in ("0/key", "0/op", "1/any")]
    )


@pytest.mark.parametrize(
    ("document", "hint"),
    [
        ({**GOOD, "nodes": {"a": "ad"}}, "'add'"),
        ({**GOOD, "nodes": {"a": {"tool": "detekt"}}}, "'detect'"),
        ({**GOOD, "start_node": "B", "nodes": {"bb": "add", "b": "add"}}, "'b'"),
        ({"start_node": "strat", "nodes": {"start": "add", "end": "add"}}, "'start'"),
        ({**GOOD, "edgs": {}}, "'edges'"),
        (edge({"to": "b", "conditon": HOLDS}), "'condition'"),
        ({**GOOD, "nodes": {"a": {"tool": "add", "meta_data": {}}}}, "'metadata'"),
        (condition({"key": "n", "op": "==", "valeu_from": "n", "value": 1}), "'value_from'"),
        ({**GOOD, "nodes": {"a": "xyzzy"}}, None),
    ],
)
def test_a_misspelt_name_comes_with_the_closest_match(document: Any, hint: str | None) -> None:
    [(_, message)] = faults(document)
    assert message.endswith(f"did you mean {hint}?") if hint else "did you mean" not in message


def nested(depth: int) -> Any:
    """A condition of `depth` levels; a bare comparison is one."""
    made: Any = HOLDS
    for level in range(depth - 1):
        made = ({"not": made}, {"all": [made]}, {"any": [HOLDS, made]})[level % 3]
    return made


def test_conditions_nest_32_levels_and_no_more() -> None:
    read_graph(condition(nested(32)), TOOLS)
    [(at, message)] = faults(condition(nested(33)))
    assert at.startswith(AT + "/all/0/not/any/1/all/0")
    assert "32" in message


def test_a_name_may_hold_what_pointers_escape() -> None:
    graph = read_graph({"start_node": "a/b", "nodes": {"a/b": "add", "m~n": "add"}, "edges": {"a/b": "m~n"}}, TOOLS)
    assert graph.edges_from("a/b")[0].to == "m~n"


@pytest.mark.parametrize("edges", [[], [{"to": None}], [{"to": None, "condition": HOLDS}], {"to": None}, ["a"], "b"])
def test_edges_may_be_a_name_an_edge_or_a_list(edges: Any) -> None:
    read_graph(edge(edges), TOOLS)


@given(json_values)
def test_any_json_is_a_graph_or_invalid(document: Any) -> None:
    with pytest.raises(Invalid):
        read_graph(document, TOOLS)


@given(graph_documents(), st.data(), json_values)
def test_a_graph_with_one_value_replaced_is_a_graph_or_invalid(document: Any, data: st.DataObject, value: Any) -> None:
    place = document
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            break
        place = inner
    place[key] = value
    with suppress(Invalid):
        assert isinstance(read_graph(document, TOOLS), Graph)


LONG = "n" * 500_000


@pytest.mark.parametrize(
    "document",
    [
        {"start_node": "a", "nodes": {"a": "add"}, "edges": {f"m{i}": "a" for i in range(5_000)}},
        {"start_node": LONG, "nodes": {LONG: {"tool": "add", **{f"u{i}": 1 for i in range(5_000)}}}},
        {"start_node": LONG, "nodes": {LONG: "add"}, "edges": {LONG: ["x"] * 20_000}},
        {
            "start_node": "a" * 50 + "b" * 45,
            "nodes": {f"{'a' * (i % 50)}{'b' * (95 - i % 50)}{i:04}": "add" for i in range(4_000)},
            "edges": {f"{'a' * 47}{'b' * 46}x{i}": "q" for i in range(4_000)},
        },
    ],
    ids=["many faults", "long pointers", "long pointers of many edges", "many misspelt names"],
)
def test_a_hostile_document_costs_little_work_and_gets_a_short_answer(document: Any) -> None:
    lines = 0

    def count(_frame: Any, _event: str, _argument: Any) -> Any:
        nonlocal lines
        lines += 1
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        found = faults(document)
    finally:
        sys.settrace(before)
    # Each of its twenty thousand edges takes some; a search for the closest match for each would take billions.
    assert lines < 10_000_000
    assert len(found) <= FAULTS_MAX
    longest = max(len(at) + len(message) for at, message in found)
    assert sum(len(at) + len(message) for at, message in found) <= FAULTS_LENGTH_MAX + longest
