"""What is said of documents that a newcomer, or a user of another system, writes."""

from __future__ import annotations

from typing import Any

import pytest

from service.core.errors import Invalid
from service.core.validation import read_graph


def refused(**fields: Any) -> list[str]:
    with pytest.raises(Invalid) as error:
        read_graph({"start_node": "a", "nodes": {"a": "add", "b": "add"}, **fields}, {"add"})
    return [f"{fault.pointer}: {fault.message}" for fault in error.value.faults]


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ({"and": [{"key": "n", "op": "exists"}]}, "/and: a condition has no field 'and'; did you mean 'all'?"),
        ({"or": []}, "/or: a condition has no field 'or'; did you mean 'any'?"),
        ({"ALL": []}, "/ALL: a condition has no field 'ALL'; did you mean 'all'?"),
        (
            {"expression": "n > 2"},
            "/expression: a condition has no field 'expression';"
            " its fields are `key`, `op`, `value`, `value_from`, `all`, `any`, `not`",
        ),
        ("n > 2", ": a condition must be an object such as"),
        (None, ": a condition must be an object such as"),
        ({"all": [{"key": "n", "op": "exists"}], "key": "n"}, "/key: a condition with `all` has no field 'key'"),
        *(
            ({"key": "n", "op": op, "value": 1}, f"/op: `op` must be one of == != > >= < <= in not_in contains"
             f" exists is_type; did you mean '{meant}'?")
            for op, meant in (
                ("=", "=="), ("eq", "=="), ("<>", "!="), ("GT", ">"), ("=>", ">="), ("not in", "not_in"),
                ("notin", "not_in"), ("IN", "in"), ("contain", "contains"),
            )
        ),
    ],
)  # fmt: skip
def test_a_condition_of_another_system_is_answered_with_ours(condition: Any, says: str) -> None:
    [message] = refused(edges={"a": [{"to": "b", "condition": condition}]})
    assert message.startswith(f"/edges/a/0/condition{says}")


@pytest.mark.parametrize(
    ("edges", "says"),
    [
        ({"a": None}, '/edges/a: an edge must be a target\'s name or an object; to end the run, write {"to": null}'),
        ({"a": "END"}, "/edges/a: no node 'END'; to end the run, write {\"to\": null}"),
        ({"a": {"to": "__end__"}}, "/edges/a/to: no node '__end__'; to end the run, write {\"to\": null}"),
        ({"a": {"to": "b", "on_error": False}}, "/edges/a/on_error: it must be true or a list of at least one type"),
        (
            {"a": {"from": "a", "to": "b"}},
            "/edges/a/from: an edge has no field 'from'; its fields are `to`, `",
        ),
    ],
)
def test_an_edge_is_refused_with_what_to_write(edges: Any, says: str) -> None:
    [message] = refused(edges=edges)
    assert message.startswith(says)


@pytest.mark.parametrize(("target", "node"), [("done", "Done"), ("finish", "finished"), ("end_", "send")])
def test_a_node_that_is_named_almost_so_comes_before_the_end_of_the_run(target: str, node: str) -> None:
    [message] = refused(nodes={"a": "add", node: "add"}, edges={"a": target})
    assert message == f"/edges/a: no node {target!r}; did you mean {node!r}?"


def test_a_long_name_for_the_end_of_the_run_is_cut() -> None:
    [message] = refused(edges={"a": "_" * 100_000 + "end"})
    assert len(message) < 1_000


@pytest.mark.parametrize(
    ("node", "says"),
    [
        (None, ": a node must be a tool's name or an object"),
        ({"sleep": "5s"}, '/sleep: `sleep` must be a number of seconds from 0 to 3155760000, or {"until": PATH}'),
        ({"tool": "add", "retry": 3}, '/retry: `retry` must be an object such as {"max_attempts": 3}'),
        ({"tool": "add", "next": "b"}, "/next: a tool node has no field 'next'; its fields are "),
        ("ADD", ": no tool 'ADD' is registered; did you mean 'add'?"),
    ],
)
def test_a_node_is_refused_with_what_to_write(node: Any, says: str) -> None:
    [message] = refused(nodes={"a": node, "b": "add"})
    assert message.startswith(f"/nodes/a{says}")
