"""Nodes of every kind and their options: what is one, and what is wrong with what is none, at its place."""

from __future__ import annotations

import math
from typing import Any

import pytest

from service.core.errors import Invalid
from service.core.graph import SECONDS_MAX, Demands, GraphNode, Node, On, Retry, SignalNode, SleepNode, ToolNode, Until
from service.core.tool import Tool, Tools
from service.core.validation import read_graph
from tests.support.core.reading import GOOD, faults, node, pointers
from tests.support.core.strategies import TOOLS

AT = "/nodes/a"
TOOL: dict[str, Any] = {"tool": "add"}
SLEEP: dict[str, Any] = {"sleep": 1}
SIGNAL: dict[str, Any] = {"signal": "go"}
GRAPH: dict[str, Any] = {"graph": "g", "into": "made"}
KINDS = {"tool": TOOL, "sleep": SLEEP, "signal": SIGNAL, "graph": GRAPH}


def read(document: Any) -> Node:
    return read_graph(node(document), TOOLS).nodes["a"]


DEMANDING = On(cluster=Demands(resources={"GPU": 1, "MB": 0.5}))

READ: list[tuple[Any, Node]] = [
    ("add", ToolNode(tool="add")),
    ({**TOOL, "isolate": True}, ToolNode(tool="add", isolate=True)),
    ({**TOOL, "isolate": False}, ToolNode(tool="add")),
    ({**TOOL, "pure": False}, ToolNode(tool="add", pure=False)),
    ({**TOOL, "on": "cluster"}, ToolNode(tool="add", on=On(cluster=Demands()))),
    ({**TOOL, "on": {"cluster": {"resources": {}}}}, ToolNode(tool="add", on=On(cluster=Demands()))),
    ({**TOOL, "on": {"cluster": {"resources": {"GPU": 1, "MB": 0.5}}}}, ToolNode(tool="add", on=DEMANDING)),
    ({"sleep": 0}, SleepNode(sleep=0)),
    ({"sleep": 0.5}, SleepNode(sleep=0.5)),
    ({"sleep": SECONDS_MAX}, SleepNode(sleep=SECONDS_MAX)),
    ({"sleep": {"until": "due.at"}}, SleepNode(sleep=Until(until="due.at"))),
    ({"sleep": {"until": "/due/at"}}, SleepNode(sleep=Until(until="/due/at"))),
    ({"signal": "go"}, SignalNode(signal="go", into="go")),
    ({"signal": "go/é ~", "into": "x.y"}, SignalNode(signal="go/é ~", into="x.y")),
    (GRAPH, GraphNode(graph="g", into="made")),
    ({**GRAPH, "for_each": "/items"}, GraphNode(graph="g", into="made", for_each="/items")),
    ({**GRAPH, "input": []}, GraphNode(graph="g", into="made", input=())),
    ({**GRAPH, "input": ["b", "a"]}, GraphNode(graph="g", into="made", input=("b", "a"))),
    ({**GRAPH, "max_parallel": 1}, GraphNode(graph="g", into="made", max_parallel=1)),
    ({**SLEEP, "retry": {}}, SleepNode(sleep=1, retry=Retry())),
    ({**SLEEP, "timeout_s": 1e-9, "max_visits": 1}, SleepNode(sleep=1, timeout_s=1e-9, max_visits=1)),
]


@pytest.mark.parametrize(("document", "expected"), READ, ids=lambda value: f"{value!r:.60}")
def test_a_node_of_each_kind_is_read(document: Any, expected: Node) -> None:
    assert repr(read(document)) == repr(expected)


def test_retry_has_the_defaults_of_the_contract() -> None:
    assert read({**TOOL, "retry": {}}).retry == Retry(
        max_attempts=3, backoff_s=1, backoff_rate=2, max_backoff_s=60, on=None
    )
    given = {"max_attempts": 1, "backoff_s": 0, "backoff_rate": 1.0, "max_backoff_s": 0.5, "on": ["timeout"]}
    assert repr(read({**SIGNAL, "retry": given}).retry) == repr(Retry.model_validate(given))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("option", [{"retry": {}}, {"timeout_s": 5}, {"max_visits": 5}])
def test_a_node_of_any_kind_takes_the_options(kind: str, option: dict[str, Any]) -> None:
    made = read({**KINDS[kind], **option})
    assert made.document() == {**read(KINDS[kind]).document(), **made.options()}
    assert list(made.options()) == list(option)


NO_SECONDS: list[Any] = [-1, -0.5, SECONDS_MAX + 1, 1e300, math.inf, math.nan, 10**400, -(10**400), "1", None, True]
NO_COUNT: list[Any] = [0, -1, 1.0, True, "1", None, 2**63, [1]]
NO_KEY: list[Any] = ["", None, 1, ["k"], "\0"]
NO_PATH: list[Any] = ["", "/~2", None, 1, ["p"]]
NO_LIST: list[Any] = [None, "k", {"k": 1}, 1, True]
NO_RATE: list[Any] = [0, 0.99, 1001, "2", None]
NO_ON: list[Any] = [None, "", "Cluster", 1, True, ["cluster"], {}]
NO_RETRY: list[Any] = [None, True, 3, [], "always"]
NO_TYPES: list[Any] = [[], None, True, "timeout", {"timeout": 1}]
NO_TYPE: list[Any] = ["", "time_out", "Timeout", None, 1, ["timeout"]]

REFUSED: list[tuple[Any, list[str]]] = [
    ({}, [""]),
    ({"metadata": {}}, [""]),
    ({"retry": {}, "timeout_s": -1, "x": 1}, ["/x", ""]),
    ({"tool": "add", "sleep": 1}, [""]),
    ({"signal": 1, "graph": 1, "into": 1}, [""]),
    ({"tool": "add", "isolate": 1}, ["/isolate"]),
    ({"tool": "add", "isolate": None}, ["/isolate"]),
    *(({"tool": "add", "pure": wrong}, ["/pure"]) for wrong in (True, None, 0, "false")),
    ({"sleep": 1, "pure": False}, ["/pure"]),
    *(({**TOOL, "on": wrong}, ["/on"]) for wrong in NO_ON),
    ({**TOOL, "on": {"server": {}}}, ["/on/server", "/on"]),
    *(({**TOOL, "on": {"cluster": wrong}}, ["/on/cluster"]) for wrong in NO_LIST if wrong != {"k": 1}),
    ({**TOOL, "on": {"cluster": {"GPU": 1}}}, ["/on/cluster/GPU"]),
    *(({**TOOL, "on": {"cluster": {"resources": wrong}}}, ["/on/cluster/resources"]) for wrong in NO_RETRY),
    *(
        ({**TOOL, "on": {"cluster": {"resources": {"GPU": wrong}}}}, ["/on/cluster/resources/GPU"])
        for wrong in (0, -1, None, True, "1", math.inf, math.nan, 2**53 + 1)
    ),
    ({**TOOL, "on": {"cluster": {"resources": {"": 1}}}}, ["/on/cluster/resources/"]),
    ({**TOOL, "on": "cluster", "isolate": True}, ["/isolate"]),
    ({"sleep": 1, "on": "cluster"}, ["/on"]),
    ({"sleep": "x", "timeout_s": "y"}, ["/timeout_s", "/sleep"]),
    *(({"sleep": value}, ["/sleep"]) for value in NO_SECONDS),
    ({"sleep": {}}, ["/sleep"]),
    ({"sleep": {"until": "t", "for": 1}}, ["/sleep/for"]),
    ({"sleep": {"unitl": "t"}}, ["/sleep/unitl", "/sleep"]),
    *(({"sleep": {"until": value}}, ["/sleep/until"]) for value in NO_PATH),
    *(({"signal": value}, ["/signal"]) for value in NO_KEY),
    *(({**SIGNAL, "into": value}, ["/into"]) for value in NO_KEY),
    ({"signal": "", "into": ""}, ["/signal", "/into"]),
    ({"signal": None, "into": 1}, ["/signal", "/into"]),
    ({"graph": "g"}, [""]),
    ({"graph": "", "for_each": ""}, ["", "/for_each", "/graph"]),
    *(({**GRAPH, "graph": value}, ["/graph"]) for value in NO_KEY),
    *(({**GRAPH, "into": value}, ["/into"]) for value in NO_KEY),
    *(({**GRAPH, "for_each": value}, ["/for_each"]) for value in NO_PATH),
    *(({**GRAPH, "input": value}, ["/input"]) for value in NO_LIST),
    *(({**GRAPH, "input": ["k", value]}, ["/input/1"]) for value in NO_KEY),
    *(({**GRAPH, "max_parallel": value}, ["/max_parallel"]) for value in NO_COUNT),
    *(({**TOOL, "max_visits": value}, ["/max_visits"]) for value in NO_COUNT),
    *(({**TOOL, "timeout_s": value}, ["/timeout_s"]) for value in [*NO_SECONDS, 0, 0.0, -0.0]),
    *(({**TOOL, "retry": value}, ["/retry"]) for value in NO_RETRY),
    ({**TOOL, "retry": {"attempts": 2}}, ["/retry/attempts"]),
    *(({**TOOL, "retry": {"max_attempts": value}}, ["/retry/max_attempts"]) for value in NO_COUNT),
    *(({**TOOL, "retry": {"backoff_s": value}}, ["/retry/backoff_s"]) for value in NO_SECONDS),
    *(({**TOOL, "retry": {"max_backoff_s": value}}, ["/retry/max_backoff_s"]) for value in NO_SECONDS),
    *(({**TOOL, "retry": {"backoff_rate": value}}, ["/retry/backoff_rate"]) for value in NO_RATE),
    *(({**TOOL, "retry": {"on": value}}, ["/retry/on"]) for value in NO_TYPES),
    *(({**TOOL, "retry": {"on": ["timeout", value]}}, ["/retry/on/1"]) for value in NO_TYPE),
]


@pytest.mark.parametrize(("document", "expected"), REFUSED, ids=lambda value: f"{value!r:.60}")
def test_each_fault_of_a_node_points_to_its_place(document: Any, expected: list[str]) -> None:
    assert pointers(node(document)) == [AT + at for at in expected]


OF_KINDS = {
    "isolate": {"tool"},
    "pure": {"tool"},
    "on": {"tool"},
    "metadata": {"tool"},
    "into": {"signal", "graph"},
    "for_each": {"graph"},
    "input": {"graph"},
    "max_parallel": {"graph"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", OF_KINDS)
def test_a_field_of_another_kind_is_unknown(kind: str, field: str) -> None:
    [(at, message)] = faults(node({**KINDS[kind], field: 0}))
    assert at == f"{AT}/{field}"
    assert (f"a {kind} node has no field {field!r}" in message) is (kind not in OF_KINDS[field])


def test_a_node_of_two_kinds_is_told_which() -> None:
    [(at, message)] = faults(node({"tool": "add", "sleep": 1, "metadata": 0, "retry": 0}))
    assert at == AT
    assert message == "a node must have one kind, not `tool` and `sleep`: `tool`, `sleep`, `signal` or `graph`"


def test_a_shorthand_is_a_tool_and_never_another_kind() -> None:
    assert [at for at, _ in faults(node("sleep"))] == [AT]
    assert pointers({**GOOD, "nodes": {"a": 5, "b": ["add"]}}) == ["/nodes/a", "/nodes/b"]


@pytest.mark.parametrize(
    ("document", "hint"),
    [
        ({"slep": 1}, "'sleep'"),
        ({"signal": "go", "timout_s": 1}, "'timeout_s'"),
        ({"graph": "g", "into": "x", "foreach": "y"}, "'for_each'"),
        ({"tool": "add", "retry": {"backof_s": 1}}, "'backoff_s'"),
        ({"tool": "add", "retry": {"on": ["time_out"]}}, "'timeout'"),
        ({"sleep": {"untill": "t", "until": "t"}}, "'until'"),
        ({"tool": "add", "retry": {"on": ["xyzzy"]}}, None),
    ],
)
def test_a_misspelt_field_or_type_comes_with_the_closest_match(document: Any, hint: str | None) -> None:
    message = faults(node(document))[0][1]
    assert message.endswith(f"did you mean {hint}?") if hint else "did you mean" not in message


def test_all_faults_of_all_nodes_come_back_at_once() -> None:
    nodes = {
        "a": {"signal": "", "into": 1, "timeout_s": 0, "retry": {"on": ["x"], "max_attempts": 0}, "y": 1},
        "b": {"graph": 1, "input": [1, ""], "max_parallel": 0},
    }
    found = pointers({"start_node": "a", "nodes": nodes})
    assert sorted(found) == sorted(
        [f"/nodes/a/{at}" for at in ("signal", "into", "timeout_s", "retry/on/0", "retry/max_attempts", "y")]
        + ["/nodes/b", *(f"/nodes/b/{at}" for at in ("graph", "input/0", "input/1", "max_parallel"))]
    )


def test_a_server_without_a_cluster_refuses_a_node_on_one() -> None:
    tools = Tools({name: Tool.of(lambda: None, name) for name in TOOLS})
    document = node({**TOOL, "on": "cluster"})
    assert read_graph(document, tools.with_cluster(is_there=True)).nodes["a"] == read(document["nodes"]["a"])
    with pytest.raises(Invalid) as refused:
        read_graph(document, tools.with_cluster(is_there=False))
    [fault] = refused.value.faults
    assert (fault.pointer, fault.message) == (
        "/nodes/a/on",
        "this server has no cluster: set RUNGRAPH_CLUSTER to the address of one, or to `local`",
    )
