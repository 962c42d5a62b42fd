"""Runs over HTTP: started, read back, listed."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.support.api.harness import COUNT, Server, deep

UNKNOWN = "0190b0a4-2c6f-7abc-8def-0123456789ab"


@pytest.fixture
def graph_id(client: httpx.Client) -> str:
    found: str = client.post("/graph/create", json=COUNT).json()["graph_id"]
    return found


def test_a_started_run_is_durable_and_queued(client: httpx.Client, graph_id: str) -> None:
    body = {"graph_id": graph_id, "initial_state": {"n": 1}, "tags": {"team": "data"}}
    answer = client.post("/graph/run", json=body)
    run_id = answer.json()["run_id"]
    assert (answer.status_code, answer.json(), answer.headers["location"]) == (
        202,
        {"run_id": run_id},
        f"/graph/state/{run_id}",
    )
    found = client.get(answer.headers["location"]).json()
    created_at = found.pop("created_at")
    assert created_at.endswith("Z")
    assert found == {
        "run_id": run_id,
        "graph_id": graph_id,
        "status": "queued",
        "state": {"n": 1},
        "current_node": "a",
        "step": 0,
        "error": None,
        "tags": {"team": "data"},
        "forked_from": None,
        "parent": None,
        "started_at": None,
        "finished_at": None,
        "last_seq": 0,
        "logs": [],
    }


def test_a_run_keeps_the_trace_of_the_request_that_started_it(
    server: Server, client: httpx.Client, graph_id: str
) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    found = []
    for headers in ({"traceparent": parent, "tracestate": "a=1"}, {"traceparent": "odd", "tracestate": "a=1"}, {}):
        started = client.post("/graph/run", json={"graph_id": graph_id}, headers=headers)
        assert started.status_code == 202
        found.append(server.drive(started.json()["run_id"]).run.trace)
    assert found == [(parent, "a=1"), None, None]


def test_a_state_comes_back_as_it_went_in(client: httpx.Client, graph_id: str) -> None:
    nested = json.dumps(deep(99), separators=(",", ":"))
    state = '{"z":18446744073709551617,"a":-0.0,"é":"\\u0001☃","m":[1.0,1,1e-07],"d":' + nested + "}"
    run = client.post("/graph/run", content=f'{{"graph_id":"{graph_id}","initial_state":{state}}}').json()
    text = client.get(f"/runs/{run['run_id']}/state?step=0").text
    assert text == f'{{"step":0,"state":{state}}}'


def test_a_run_to_its_end(server: Server, client: httpx.Client) -> None:
    run_id = server.start(client, until=3, big="x")
    driven = server.drive(run_id)
    driven.step(big="y", new=[1])
    driven.log("half way", data='{"done": 1}')
    driven.finish()

    run = client.get(f"/graph/state/{run_id}?after_seq=1&limit=2").json()
    assert (run["status"], run["current_node"], run["step"], run["state"]["n"]) == ("completed", None, 3, 3)
    assert run["finished_at"] >= run["started_at"] >= run["created_at"]
    assert [line["seq"] for line in run["logs"]] == [2, 3]
    assert run["logs"][1]["message"] == "half way"
    assert run["logs"][1]["data"] == {"done": 1}
    assert list(run["logs"][1]) == ["seq", "ts", "level", "event", "node", "step", "attempt", "message", "data"]
    last = client.get(f"/runs/{run_id}/logs?after_seq={run['last_seq'] - 1}").json()
    assert (last["items"][0]["event"], last["last_seq"]) == ("run_completed", run["last_seq"])

    states = [client.get(f"/runs/{run_id}/state?step={step}").json()["state"] for step in range(4)]
    assert [state["n"] for state in states] == [0, 1, 2, 3]
    assert [state["big"] for state in states] == ["x", "y", "y", "y"]
    assert client.get(f"/runs/{run_id}/state").json() == {"step": 3, "state": run["state"]}
    assert client.get(f"/runs/{run_id}/state?step=4").status_code == 404


def test_steps_say_what_changed_and_why(server: Server, client: httpx.Client) -> None:
    run_id = server.start(client, until=2)
    driven = server.drive(run_id)
    driven.step(x=1)
    driven.finish()
    first = client.get(f"/runs/{run_id}/steps?limit=1").json()
    assert first["next_cursor"] == 1
    (step,) = first["items"]
    assert step["changes"] == {"set": {"n": 1, "x": 1}, "unset": []}
    condition = {"key": "n", "op": "<", "value_from": "until"}
    assert step["decision"] == {
        "to": "a",
        "reason": "condition",
        "evaluated": [{"to": "a", "condition": condition, "result": True, "operands": {"n": 1, "until": 2}}],
    }
    (attempt,) = step["attempts"]
    assert attempt == {key: step[key] for key in ("attempt", "started_at", "finished_at")} | {"error": None}
    rest = client.get(f"/runs/{run_id}/steps?after_step=1").json()
    assert [(step["step"], step["decision"]["reason"]) for step in rest["items"]] == [(2, "none_true")]
    assert rest["next_cursor"] is None


def test_a_failed_run_says_why(server: Server, client: httpx.Client) -> None:
    run_id = server.start(client)
    server.drive(run_id).fail("boom \u2028 ☃")
    run = client.get(f"/graph/state/{run_id}").json()
    assert (run["status"], run["current_node"]) == ("failed", "a")
    assert run["error"] == {"type": "tool_error", "message": "boom \u2028 ☃", "node": "a", "step": 1, "attempt": 1}


def test_runs_are_listed_newest_first_and_filtered(server: Server, client: httpx.Client) -> None:
    graph = client.post("/graph/create", json={**COUNT, "name": "listed"}).json()["graph_id"]
    body = {"graph_id": graph, "initial_state": {"n": 0, "until": 1}}
    made = [client.post("/graph/run", json={**body, "tags": {"nr": str(n % 2)}}).json()["run_id"] for n in range(5)]
    server.drive(made[0]).finish()

    def listed(query: str) -> list[str]:
        return [run["run_id"] for run in client.get(f"/runs?graph_id={graph}&{query}").json()["items"]]

    assert sorted(listed("limit=10")) == sorted(made)
    assert listed("status=completed") == [made[0]]
    assert sorted(listed("tag=nr:1")) == sorted([made[1], made[3]])
    assert listed("tag=nr:1&status=completed") == []
    first = client.get(f"/runs?graph_id={graph}&limit=3").json()
    second = client.get(f"/runs?graph_id={graph}&limit=3&cursor={first['next_cursor']}").json()
    pages = [run["run_id"] for run in first["items"] + second["items"]]
    assert sorted(pages) == sorted(made)
    assert second["next_cursor"] is None
    assert not {"state", "logs"} & first["items"][0].keys()
    listed_only = {"schedule", "priority", "graph_name", "waiting_for", "duration_ms", "children"}
    stated = client.get(f"/graph/state/{made[0]}").json().keys() - {"state", "logs"}
    assert first["items"][0].keys() == stated | listed_only


def test_a_colon_in_a_tags_key_is_escaped(client: httpx.Client) -> None:
    graph_id = client.post("/graph/create", json=COUNT | {"name": "colons"}).json()["graph_id"]
    body = {"graph_id": graph_id, "initial_state": {"n": 0, "until": 1}}
    tags = [{"a": "b:c"}, {"a:b": "c"}]
    made = [client.post("/graph/run", json={**body, "tags": each}).json()["run_id"] for each in tags]

    def listed(tag: str) -> list[str]:
        answer = client.get("/runs", params={"graph_id": graph_id, "tag": tag})
        return [run["run_id"] for run in answer.json()["items"]]

    assert [listed("a:b:c"), listed(r"a\:b:c")] == [[made[0]], [made[1]]]
    problem = client.get("/runs", params={"tag": "team"}).json()
    assert problem["errors"] == [
        {
            "pointer": "/tag",
            "message": r"must be key:value, or !key:value to exclude; a colon within the key is written \:",
        }
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/graph/state/{}",
        "/runs/{}/steps",
        "/runs/{}/state",
        "/runs/{}/logs",
        "/runs/{}/events",
        "/runs/{}/files/x.csv",
        "/graph/{}",
        "/runs?graph_id={}",
    ],
)
@pytest.mark.parametrize(
    "run_id", [UNKNOWN, UNKNOWN.upper(), "0" * 32, "x", "1", "..%2f", "%00", "a" * 5000, "%F0%9F%92%A9", "%FF"]
)
def test_unknown_and_malformed_ids_are_404(client: httpx.Client, path: str, run_id: str) -> None:
    answer = client.get(path.format(run_id))
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["status"] == 404


class TestIdempotency:
    def test_the_same_call_is_the_same_run(self, client: httpx.Client, graph_id: str) -> None:
        key = {"Idempotency-Key": "same"}
        body = {"graph_id": graph_id}
        first = client.post("/graph/run", json=body, headers=key)
        # Defaults filled in, and the order of keys is no difference.
        again = client.post("/graph/run", json={"tags": {}, "initial_state": {}, **body}, headers=key)
        assert (first.status_code, again.status_code) == (202, 200)
        assert first.json() == again.json()
        assert again.headers["location"] == first.headers["location"]

    @pytest.mark.parametrize("other", [{"initial_state": {"n": 1.0}}, {"tags": {"a": "b"}}])
    def test_another_body_is_a_conflict(self, client: httpx.Client, graph_id: str, other: dict[str, object]) -> None:
        key = {"Idempotency-Key": f"other {other}"}
        body = {"graph_id": graph_id, "initial_state": {"n": 1}}
        client.post("/graph/run", json=body, headers=key)
        answer = client.post("/graph/run", json=body | other, headers=key)
        assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")

    def test_a_refused_call_consumes_no_key(self, client: httpx.Client, graph_id: str) -> None:
        key = {"Idempotency-Key": "refused"}
        assert client.post("/graph/run", json={"graph_id": "0" * 32}, headers=key).status_code == 404
        assert client.post("/graph/run", json={"graph_id": graph_id, "x": 1}, headers=key).status_code == 422
        assert client.post("/graph/run", json={"graph_id": graph_id}, headers=key).status_code == 202

    @pytest.mark.parametrize("key", ["x", "x" * 255, "a b~!"])
    def test_keys_that_are_taken(self, client: httpx.Client, graph_id: str, key: str) -> None:
        answer = client.post("/graph/run", json={"graph_id": graph_id}, headers={"Idempotency-Key": key})
        assert answer.status_code == 202

    @pytest.mark.parametrize("keys", [[b""], [b"x" * 256], ["ü".encode()], [b"a\tb"], [b"a", b"b"]])
    def test_keys_that_are_refused(self, client: httpx.Client, graph_id: str, keys: list[bytes]) -> None:
        headers = [(b"Idempotency-Key", key) for key in keys]
        answer = client.post("/graph/run", json={"graph_id": graph_id}, headers=headers)
        assert answer.status_code == 422
