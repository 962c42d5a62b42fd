"""Limits and priorities over HTTP, and what is seen of runs that wait for a slot."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.api.executing import (
    GATES,
    begin,
    create,
    events_of,
    graph,
    moved,
    post,
    refused,
    run_of,
    steps_of,
    until,
)
from tests.support.api.harness import Server, eventually

NAMES = ["api", "a/b", "ä \n?", "x" * 200]


def path(name: str) -> str:
    return f"/limits/{quote(name, safe='')}"


@pytest.mark.parametrize("name", NAMES)
def test_a_limit_is_made_changed_listed_and_deleted(client: httpx.Client, name: str) -> None:
    made = client.put(path(name), json={"max": 5})
    assert made.status_code == 201
    created_at = made.json()["created_at"]
    expected: dict[str, Any] = {"name": name, "max": 5, "per_s": None, "in_use": 0, "waiting": 0}
    assert made.json() == {**expected, "created_at": created_at, "changed_at": created_at}
    again = client.put(path(name), json={"max": 5})
    assert (again.status_code, again.json()) == (200, made.json())
    changed = client.put(path(name), json={"max": 2**63 - 1, "per_s": 0.5})
    assert changed.status_code == 200
    assert (changed.json()["max"], changed.json()["per_s"]) == (2**63 - 1, 0.5)
    assert changed.json()["created_at"] == created_at
    assert client.get(path(name)).json() == changed.json()
    assert client.get("/limits").json() == {"items": [changed.json()], "next_cursor": None}
    assert client.delete(path(name)).status_code == 204
    refused(client.delete(path(name)), 404)
    refused(client.get(path(name)), 404)
    assert client.get("/limits").json() == {"items": [], "next_cursor": None}


def test_limits_come_in_pages(client: httpx.Client) -> None:
    names = [f"page-{number}" for number in range(5)]
    for name in names:
        client.put(f"/limits/{name}", json={"max": 1})
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = client.get("/limits", params=params).json()
        found += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert found == names
    for name in names:
        client.delete(f"/limits/{name}")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/max"),
        ({"max": 0}, "/max"),
        ({"max": -1}, "/max"),
        ({"max": True}, "/max"),
        ({"max": 1.5}, "/max"),
        ({"max": "1"}, "/max"),
        ({"max": None}, "/max"),
        ({"max": 2**63}, "/max"),
        ({"max": 1, "per_s": 0}, "/per_s"),
        ({"max": 1, "per_s": -1}, "/per_s"),
        ({"max": 1, "per_s": True}, "/per_s"),
        ({"max": 1, "per_s": None}, "/per_s"),
        ({"max": 1, "per_s": "1"}, "/per_s"),
        ({"max": 1, "per_s": 1e300}, "/per_s"),
        ({"max": 1, "period": 1}, "/period"),
        ([], ""),
    ],
)
def test_a_limit_that_is_none_is_refused(client: httpx.Client, body: Any, pointer: str) -> None:
    refused(client.put("/limits/bad", json=body), 422, pointer=pointer)
    refused(client.get("/limits/bad"), 404)


def test_names_and_bodies_that_are_none_are_refused(client: httpx.Client) -> None:
    refused(client.put("/limits/" + "x" * 201, json={"max": 1}), 422)
    refused(client.put("/limits/%00", json={"max": 1}), 422)
    refused(client.put("/limits/%ff", json={"max": 1}), 422)
    refused(client.put("/limits/", json={"max": 1}), 422)
    refused(client.put("/limits/a", content=b"{", headers={"content-type": "application/json"}), 400)
    refused(client.get("/limits", params={"limit": 0}), 422)
    refused(client.get("/limits", params={"name": "x"}), 422)
    for cursor in ("", "x" * 201, "\0"):
        refused(client.get("/limits", params={"cursor": cursor}), 422)


@pytest.mark.parametrize("name", ["%00", "%ff", "%ED%A0%80", ""])
def test_a_malformed_name_is_an_unknown_one(client: httpx.Client, name: str) -> None:
    refused(client.get(f"/limits/{name}"), 404)
    refused(client.delete(f"/limits/{name}"), 404)


# Priorities.


@pytest.mark.parametrize("priority", [-101, 101, True, 1.5, "1", None])
def test_a_priority_is_an_integer_within_bounds(client: httpx.Client, priority: Any) -> None:
    graph_id = create(client, graph("add"))
    refused(client.post("/graph/run", json={"graph_id": graph_id, "priority": priority}), 422, pointer="/priority")


def test_a_priority_is_shown_and_kept_by_a_fork(client: httpx.Client) -> None:
    graph_id = create(client, graph("add"))
    for priority in (-100, 0, 100):
        body = {"graph_id": graph_id, "priority": priority} if priority else {"graph_id": graph_id}
        run_id = client.post("/graph/run", json=body).json()["run_id"]
        assert client.get(f"/runs/{run_id}").json()["priority"] == priority
        forked = post(client, run_id, "fork").json()["run_id"]
        items = {item["run_id"]: item for item in client.get("/runs").json()["items"]}
        assert {items[run_id]["priority"], items[forked]["priority"]} == {priority}


def test_a_body_without_a_priority_is_the_same_as_one_with_the_default(server: Server, client: httpx.Client) -> None:
    body = {"graph_id": create(client, graph("add"))}
    key = {"Idempotency-Key": "prioritized"}
    first = client.post("/graph/run", json=body, headers=key)
    again = client.post("/graph/run", json=body | {"priority": 0}, headers=key)
    assert (first.status_code, again.status_code, again.json()) == (202, 200, first.json())
    refused(client.post("/graph/run", json=body | {"priority": 1}, headers=key), 409)
    [digest] = [row[2] for row in server.tables()["idempotency_keys"] if row[1] == "prioritized"]
    # As before there were priorities: keys that were used then are still good.
    text = f'{{"graph_id":"{body["graph_id"]}","initial_state":{{}},"tags":{{}}}}'
    assert digest == hashlib.sha256(text.encode()).hexdigest()


# Runs that wait.


def wait_at(http: httpx.Client, name: str, *gates: str, **options: Any) -> list[str]:
    """Start a run for each gate at the limit `name`. Return their ids once the first has a slot and the others wait."""
    node = {"tool": "gated", "limit": name, **options}
    ids = []
    for number, gate in enumerate(gates):
        ids.append(begin(http, graph(node, "add"), gate=gate))
        if number:
            until(http, ids[-1], "waiting")
        else:
            assert GATES[gate].entered.wait(60)
    return ids


def test_a_run_waits_for_a_slot_and_goes_on_when_one_is_free(http: httpx.Client) -> None:
    http.put("/limits/one", json={"max": 1})
    first, second = wait_at(http, "one", "limit 1", "limit 2")
    found = http.get(f"/runs/{second}/why").json()
    since = found["because"].rpartition(" ")[2].rstrip(".")
    assert found["because"] == f"Node 'a' waits for a slot of the limit 'one', since {since}."
    assert found["waiting_for"] == {"kind": "limit", "name": "one"}
    assert "due_at" not in found
    listed = http.get("/runs", params={"waiting_for": "limit"}).json()["items"]
    assert [(run["run_id"], run["waiting_for"]) for run in listed] == [(second, {"kind": "limit", "name": "one"})]
    assert http.get(f"/runs/{second}").json()["waiting_for"] == {"kind": "limit", "name": "one"}
    shown = http.get("/limits/one").json()
    assert (shown["in_use"], shown["waiting"]) == (1, 1)
    GATES["limit 2"].opened.set()
    GATES["limit 1"].opened.set()
    for run_id in (first, second):
        until(http, run_id, "completed")
    assert events_of(http, second) == [
        "run_started",
        "run_waiting",
        "step_completed",
        "step_completed",
        "run_completed",
    ]
    # The time of the wait is not the attempt's.
    step = steps_of(http, second)[0]
    assert (step["attempt"], len(step["attempts"])) == (1, 1)
    assert step["started_at"] >= since
    assert http.get("/limits/one").json()["in_use"] == 0


@pytest.mark.parametrize("how", ["cancel", "finish", "timeout", "max", "delete"])
def test_slots_come_back_and_limits_change(http: httpx.Client, how: str) -> None:
    name = f"how {how}"
    http.put(f"/limits/{name}", json={"max": 1})
    options = {"timeout_s": 0.05} if how == "timeout" else {}
    GATES[f"{how} 2"].opened.set()
    first = begin(http, graph({"tool": "gated", "limit": name, **options}), gate=f"{how} 1")
    assert GATES[f"{how} 1"].entered.wait(60)
    second = begin(http, graph({"tool": "gated", "limit": name}), gate=f"{how} 2")
    match how:
        case "cancel":
            until(http, second, "waiting")
            moved(http, first, "cancel")
        case "max":
            until(http, second, "waiting")
            http.put(f"/limits/{name}", json={"max": 2})
        case "delete":
            until(http, second, "waiting")
            http.delete(f"/limits/{name}")
        case "finish":
            GATES["finish 1"].opened.set()
        case "timeout":
            until(http, first, "failed")
    until(http, second, "completed")


def test_pausing_cancelling_and_resuming_a_run_that_waits(http: httpx.Client) -> None:
    http.put("/limits/steered", json={"max": 1})
    first, second, third = wait_at(http, "steered", "steered 1", "steered 2", "steered 3")
    assert moved(http, second, "pause") == "paused"
    assert http.get(f"/runs/{second}").json()["waiting_for"] == {"kind": "limit", "name": "steered"}
    assert "meanwhile node 'a' waits for a slot" in http.get(f"/runs/{second}/why").json()["because"]
    assert moved(http, third, "cancel") == "cancelled"
    assert moved(http, second, "resume") == "waiting"
    for number in (1, 2, 3):
        GATES[f"steered {number}"].opened.set()
    for run_id in (first, second):
        until(http, run_id, "completed")
    assert run_of(http, third)["status"] == "cancelled"


def test_runs_are_served_by_priority(http: httpx.Client) -> None:
    http.put("/limits/ranked", json={"max": 1})
    [first] = wait_at(http, "ranked", "ranked 0")
    graph_id = create(http, graph({"tool": "risky", "limit": "ranked"}))
    ids = {}
    for priority in (0, -7, 9, 0):
        body = {"graph_id": graph_id, "initial_state": {"ok": 1}, "priority": priority}
        run_id = http.post("/graph/run", json=body).json()["run_id"]
        until(http, run_id, "waiting")
        ids[run_id] = priority
    GATES["ranked 0"].opened.set()
    for run_id in (first, *ids):
        until(http, run_id, "completed")
    began = sorted(ids, key=lambda run_id: steps_of(http, run_id)[0]["started_at"])
    assert [ids[run_id] for run_id in began] == [9, 0, 0, -7]


def test_a_period_spreads_what_begins(http: httpx.Client) -> None:
    http.put("/limits/slow", json={"max": 2, "per_s": 0.2})
    ids = [begin(http, graph({"tool": "add", "limit": "slow"})) for _ in range(6)]
    for run_id in ids:
        until(http, run_id, "completed")
    began = sorted(steps_of(http, run_id)[0]["started_at"] for run_id in ids)
    assert len(set(began)) > 2
    assert eventually(lambda: http.get("/limits/slow").json()["in_use"] == 0)


def test_children_have_the_priority_of_their_parent(http: httpx.Client) -> None:
    child = create(http, graph("add"))
    body = {"graph_id": create(http, graph({"graph": child, "into": "k"})), "priority": 42}
    run_id = http.post("/graph/run", json=body).json()["run_id"]
    until(http, run_id, "completed")
    [item] = http.get("/runs", params={"parent_id": run_id}).json()["items"]
    assert item["priority"] == 42
