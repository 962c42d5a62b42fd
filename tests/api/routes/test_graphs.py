"""Graphs over HTTP."""

from __future__ import annotations

import httpx

from service.core.graph import CONDITION_DEPTH_MAX
from tests.support.api.harness import COUNT, deep

COMPARISON = {"key": "n", "op": "==", "value": 1}


def test_a_graph_posted_twice_has_one_id(client: httpx.Client) -> None:
    first, second = (client.post("/graph/create", json={**COUNT, "name": "twice"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json() == {"graph_id": first.json()["graph_id"], "warnings": []}


def test_a_graph_comes_back_in_canonical_form(client: httpx.Client) -> None:
    graph_id = client.post("/graph/create", json=COUNT).json()["graph_id"]
    found = client.get(f"/graph/{graph_id}").json()
    assert (found["graph_id"], found["name"]) == (graph_id, "count")
    assert found["definition"]["nodes"] == {"a": {"tool": "add", "metadata": {}}}
    assert found["definition"]["max_steps"] == 10_000
    assert client.post("/graph/create", json=found["definition"]).json()["graph_id"] == graph_id


def test_an_unreachable_node_is_a_warning(client: httpx.Client) -> None:
    graph = {"start_node": "a", "nodes": {"a": "add", "b/c": "add"}}
    (warning,) = client.post("/graph/create", json=graph).json()["warnings"]
    assert warning["pointer"] == "/nodes/b~1c"
    assert "b/c" in warning["message"]


def test_all_faults_come_at_once_with_pointers_and_closest_matches(client: httpx.Client) -> None:
    graph = {"start_node": "aa", "nodes": {"a": "ad", "b": {"tool": "add", "metdata": {}}}, "edges": {"a": ["c"]}}
    answer = client.post("/graph/create", json=graph)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    messages = {fault["pointer"]: fault["message"] for fault in answer.json()["errors"]}
    assert messages.keys() == {"/start_node", "/nodes/a", "/nodes/b/metdata", "/edges/a/0"}
    assert "'add'" in messages["/nodes/a"]
    assert "'metadata'" in messages["/nodes/b/metdata"]


def test_a_node_runs_a_graph_that_is_there(client: httpx.Client) -> None:
    child = client.post("/graph/create", json=COUNT).json()["graph_id"]
    graph = {"start_node": "a", "nodes": {"a": {"graph": child, "into": "out"}}}
    assert client.post("/graph/create", json=graph).status_code in (200, 201)


def test_graphs_that_are_not_there_are_told_with_all_other_faults(client: httpx.Client) -> None:
    child = client.post("/graph/create", json=COUNT).json()["graph_id"]
    named = {"a": child, "b": "0" * 32, "c/d": "nothing", "e": child.upper()}
    nodes = {name: {"graph": graph_id, "into": "out"} for name, graph_id in named.items()}
    answer = client.post("/graph/create", json={"start_node": "a", "nodes": nodes})
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [
        "/nodes/b/graph",
        "/nodes/c~1d/graph",
        "/nodes/e/graph",
    ]
    answer = client.post("/graph/create", json={"start_node": "x", "nodes": nodes})
    assert [fault["pointer"] for fault in answer.json()["errors"]][:2] == ["/start_node", "/nodes/b/graph"]


def test_a_thousand_graphs_that_are_not_there(client: httpx.Client) -> None:
    nodes = {f"n{number}": {"graph": f"{number:032x}", "into": "x"} for number in range(1200)}
    answer = client.post("/graph/create", json={"start_node": "n0", "nodes": nodes})
    assert (answer.status_code, len(answer.json()["errors"])) == (422, 1000)


def test_numbers_of_any_size_stay_exact(client: httpx.Client) -> None:
    numbers = '{"big": 123456789012345678901234567890, "zero": -0.0, "fine": 0.1, "exp": 1e300}'
    body = '{"start_node": "a", "nodes": {"a": {"tool": "add", "metadata": ' + numbers + "}}}"
    graph_id = client.post("/graph/create", content=body).json()["graph_id"]
    text = client.get(f"/graph/{graph_id}").text
    assert '{"big":123456789012345678901234567890,"exp":1e+300,"fine":0.1,"zero":-0.0}' in text


def test_metadata_and_literals_may_nest_as_deep_as_a_state(client: httpx.Client) -> None:
    condition = {**COMPARISON, "value": deep(100)}
    for _ in range(CONDITION_DEPTH_MAX - 1):
        condition = {"all": [condition]}
    node = {"tool": "add", "metadata": deep(100)}
    graph = {"start_node": "a", "nodes": {"a": node}, "edges": {"a": [{"to": "a", "condition": condition}]}}
    assert client.post("/graph/create", json=graph).status_code == 201

    too_deep = {"start_node": "a", "nodes": {"a": {"tool": "add", "metadata": deep(101)}}}
    (fault,) = client.post("/graph/create", json=too_deep).json()["errors"]
    assert fault["pointer"] == "/nodes/a/metadata" + "/k" * 100


def test_graphs_are_listed_in_pages_the_newest_first(client: httpx.Client) -> None:
    made = [client.post("/graph/create", json={**COUNT, "name": f"page {n}"}).json()["graph_id"] for n in range(5)]
    page = client.get("/graphs?limit=2").json()
    found = page["items"]
    while page["next_cursor"] is not None:
        page = client.get(f"/graphs?limit=2&cursor={page['next_cursor']}").json()
        assert 1 <= len(page["items"]) <= 2
        found += page["items"]
    ids = [item["graph_id"] for item in found]
    assert set(made) <= set(ids)
    assert len(ids) == len(set(ids))


def test_tools_are_listed(client: httpx.Client) -> None:
    assert client.get("/tools").json() == {
        "items": [
            {"name": "add", "description": "Count up.", "parameters": ["state"], "pure": False},
        ]
    }
