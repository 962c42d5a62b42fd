"""Graphs by name: to start runs, and as children, which are pinned when their parent is posted."""

from __future__ import annotations

import httpx

from tests.support.api.executing import create, graph, until


def named(name: str, *nodes: object) -> dict[str, object]:
    return {**graph(*nodes), "name": name}


def test_a_run_starts_by_the_latest_graph_of_a_name(http: httpx.Client) -> None:
    create(http, named("mine", "add"))
    latest = create(http, named("mine", "add", "add"))
    run_id = http.post("/graph/run", json={"graph": "mine", "initial_state": {"n": 0}}).json()["run_id"]
    run = until(http, run_id, "completed")
    assert (run["graph_id"], run["state"]) == (latest, {"n": 2})


def test_a_graph_that_is_posted_again_is_the_latest_of_its_name(http: httpx.Client) -> None:
    first = create(http, named("again", "add"))
    second = create(http, named("again", "add", "add"))
    schedule = {"graph": "again", "every_s": 3600, "initial_state": {"n": 0}}
    assert http.put("/schedules/again", json=schedule).status_code == 201
    for latest in (second, first, second):
        created_at = http.get(f"/graph/{latest}").json()["created_at"]
        assert create(http, named("again", *(["add"] if latest == first else ["add", "add"]))) == latest
        assert http.get(f"/graph/{latest}").json()["created_at"] == created_at
        for path, body in (
            ("/graph/run", {"graph": "again", "initial_state": {"n": 0}}),
            ("/schedules/again/trigger", {}),
        ):
            run_id = http.post(path, json=body).json()["run_id"]
            assert http.get(f"/runs/{run_id}").json()["graph_id"] == latest, path
        parent = create(http, graph({"graph": "again", "into": "x"}))
        assert http.get(f"/graph/{parent}").json()["definition"]["nodes"]["a"]["graph"] == latest
    http.delete("/schedules/again")


def test_a_misspelt_name_of_a_child_has_a_hint(http: httpx.Client) -> None:
    create(http, named("clean_addresses", "add"))
    nodes = {"a": {"graph": "clean_adresses", "into": "x"}, "b": {"graphs": {"c": "clean_address"}, "into": "x"}}
    refused = http.post("/graph/create", json={"start_node": "a", "nodes": nodes}).json()["errors"]
    hint = "; did you mean 'clean_addresses'?"
    assert [fault["message"] for fault in refused] == [
        f"no graph 'clean_adresses'{hint}",
        f"no graph 'clean_address'{hint}",
    ]


def test_a_key_identifies_the_name_and_not_the_graph(http: httpx.Client) -> None:
    create(http, named("keyed", "add"))
    call = {"json": {"graph": "keyed"}, "headers": {"Idempotency-Key": "named"}}
    first = http.post("/graph/run", **call)  # type: ignore[arg-type]
    create(http, named("keyed", "add", "add"))
    again = http.post("/graph/run", **call)  # type: ignore[arg-type]
    assert (first.status_code, again.status_code, first.json()) == (202, 200, again.json())


def test_wrong_names_are_refused(http: httpx.Client) -> None:
    assert http.post("/graph/run", json={"graph": "nobody's"}).status_code == 404
    for body, at in (
        ({}, "/graph_id"),
        ({"graph": ""}, "/graph"),
        ({"graph": None}, "/graph"),
        ({"graph": "x", "graph_id": "y"}, "/graph"),
    ):
        answer = http.post("/graph/run", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, at)
    nodes = {"a": {"graph": "nobody's", "into": "x"}, "b": {"graphs": {"c": "nobody's"}, "into": "x"}, "d": "ad"}
    refused = http.post("/graph/create", json={"start_node": "a", "nodes": nodes})
    assert [fault["pointer"] for fault in refused.json()["errors"]] == [
        "/nodes/d",
        "/nodes/a/graph",
        "/nodes/b/graphs/c",
    ]


def test_children_are_pinned_and_branches_are_joined(http: httpx.Client) -> None:
    child = create(http, named("child", "add"))
    parent = named("parent", {"graphs": {"x": "child", "y": child}, "into": "both"}, {"graph": "child", "into": "one"})
    parent_id = create(http, parent)
    create(http, named("child", "add", "add"))
    assert create(http, parent) != parent_id  # It names another graph now.
    definition = http.get(f"/graph/{parent_id}").json()["definition"]
    assert definition["nodes"]["a"]["graphs"] == {"x": child, "y": child}
    assert definition["nodes"]["b"]["graph"] == child
    body = {"graph_id": parent_id, "initial_state": {"n": 1}}
    run = until(http, http.post("/graph/run", json=body).json()["run_id"], "completed")
    assert run["state"]["both"] == {"x": {"n": 2}, "y": {"n": 2}}
    assert http.get(f"/graph/{parent_id}/mermaid").status_code == 200


def test_a_failed_branch_fails_the_node(http: httpx.Client) -> None:
    create(http, named("adds", "add"))
    create(http, named("fails", "risky"))
    parent = create(http, graph({"graphs": {"a": "adds", "b": "fails"}, "into": "x", "max_parallel": 1}))
    run = until(http, http.post("/graph/run", json={"graph_id": parent}).json()["run_id"], "failed")
    assert run["error"]["type"] == "child_failed"
    assert run["error"]["message"].startswith("child 1 failed")


def test_the_schema_is_served(http: httpx.Client) -> None:
    schema = http.get("/schema/graph.json").json()
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert "GraphsNode" in schema["$defs"]
    assert http.post("/graph/create", json={"$schema": "x", **graph("add")}).status_code in (200, 201)


def test_a_graph_to_run_that_is_named_wrongly_has_a_hint(http: httpx.Client) -> None:
    create(http, named("import_orders", "add"))
    for body, says in (
        ({"graph": "import_order"}, "no graph 'import_order'; did you mean 'import_orders'?"),
        ({"graph_id": "import_orders"}, "no graph 'import_orders'; that is a name: give it as `graph`"),
    ):
        answer = http.post("/graph/run", json=body)
        assert answer.status_code == 404
        assert says in answer.json()["detail"]
