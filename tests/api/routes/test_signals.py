"""Signals over HTTP: into the mailbox, out of it by a node, each once."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from service.api.idempotency import keyed
from tests.support.api.executing import UNKNOWN, begin, create, graph, moved, refused, run_of, until
from tests.support.api.harness import Server, deep, text

WAIT = {"signal": "go"}


def send(client: httpx.Client, run_id: str, name: str, payload: Any = None, key: str | None = None) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post(f"/runs/{run_id}/signals/{quote(name, safe='')}", content=text(payload), headers=headers)


def held(client: httpx.Client) -> str:
    """A run that has parked for `go`; nodes that it does not come to wait for `x`, `y` and `other`."""
    document = graph(WAIT)
    document["nodes"] |= {f"for {name}": {"signal": name} for name in ("x", "y", "other")}
    run_id = begin(client, document)
    until(client, run_id, "waiting")
    return run_id


class TestDelivery:
    def test_a_signal_wakes_the_run_that_waits_for_it(self, http: httpx.Client) -> None:
        run_id = held(http)
        answer = send(http, run_id, "go", {"by": "kim"})
        assert (answer.status_code, answer.json()) == (202, {"run_id": run_id, "name": "go"})
        assert until(http, run_id, "completed")["state"] == {"go": {"by": "kim"}}

    def test_another_name_does_not(self, http: httpx.Client) -> None:
        run_id = held(http)
        assert send(http, run_id, "other", 1).status_code == 202
        assert send(http, run_id, "go", 2).status_code == 202
        assert until(http, run_id, "completed")["state"] == {"go": 2}

    def test_those_sent_earlier_wait_and_are_taken_in_order(self, http: httpx.Client) -> None:
        nodes = [{"signal": "first"}, *({"signal": "x", "into": into} for into in "pqr")]
        run_id = begin(http, graph(*nodes))
        for number in range(4):
            assert send(http, run_id, "x", number).status_code == 202
        send(http, run_id, "first")
        run = until(http, run_id, "completed")
        assert run["state"] == {"first": None, "p": 0, "q": 1, "r": 2}

    @pytest.mark.parametrize(
        "payload",
        [
            "null",
            "false",
            "0",
            "-0.0",
            "1.0",
            "18446744073709551617",
            "1e-07",
            '""',
            '"é☃\\u0001"',
            "[]",
            '{"b":1,"a":[1.0,1]}',
            json.dumps(deep(99), separators=(",", ":")),
        ],
    )
    def test_any_json_comes_as_it_was_sent(self, http: httpx.Client, payload: str) -> None:
        run_id = held(http)
        assert http.post(f"/runs/{run_id}/signals/go", content=payload).status_code == 202
        until(http, run_id, "completed")
        assert http.get(f"/runs/{run_id}/state").text == f'{{"step":1,"state":{{"go":{payload}}}}}'

    @pytest.mark.parametrize(
        "name", ["a/b", "/", "a//b/", "é ☃", "100%", "%2F", "?x=1#y", ".", "..", "a\nb", "x" * 1000]
    )
    def test_whatever_a_graph_can_name(self, http: httpx.Client, name: str) -> None:
        run_id = begin(http, graph({"signal": name, "into": "got"}))
        quoted = quote(name, safe="").replace(".", "%2E")
        answer = http.post(f"/runs/{run_id}/signals/{quoted}", json=7)
        assert (answer.status_code, answer.json()) == (202, {"run_id": run_id, "name": name})
        assert until(http, run_id, "completed")["state"] == {"got": 7}

    def test_a_slash_need_not_be_quoted(self, http: httpx.Client) -> None:
        run_id = begin(http, graph({"signal": "a/b", "into": "got"}))
        assert http.post(f"/runs/{run_id}/signals/a/b", json=7).status_code == 202
        assert until(http, run_id, "completed")["state"] == {"got": 7}


class TestStatuses:
    def test_a_paused_run_takes_it_once_resumed(self, http: httpx.Client) -> None:
        run_id = held(http)
        moved(http, run_id, "pause")
        assert send(http, run_id, "go", 1).status_code == 202
        assert run_of(http, run_id)["status"] == "paused"
        moved(http, run_id, "resume")
        assert until(http, run_id, "completed")["state"] == {"go": 1}

    def test_a_failed_run_too(self, http: httpx.Client) -> None:
        run_id = begin(http, graph("risky", WAIT))
        until(http, run_id, "failed")
        assert send(http, run_id, "go", 1).status_code == 202
        moved(http, run_id, "resume", {"patch": {"ok": True}})
        assert until(http, run_id, "completed")["state"]["go"] == 1

    def test_a_completed_or_cancelled_run_takes_none(self, http: httpx.Client) -> None:
        run_id = begin(http, graph("add"))
        until(http, run_id, "completed")
        refused(send(http, run_id, "go"), 409, names="completed")
        other = held(http)
        moved(http, other, "cancel")
        refused(send(http, other, "go"), 409, names="cancelled")

    def test_a_full_mailbox_takes_none(self, live: Server, http: httpx.Client) -> None:
        run_id = held(http)
        signals = live.services.store.signals

        async def fill() -> list[bool]:
            return await asyncio.gather(*(signals.send(run_id, "x", "1", None) for _ in range(1000)))

        assert all(live.do(fill()))
        refused(send(http, run_id, "x"), 409, names="1000")
        # Also one that would be taken at once: it goes through the mailbox like any other.
        refused(send(http, run_id, "go"), 409)


def approval(*names: str) -> dict[str, Any]:
    """A graph whose nodes wait for signals, one after the other."""
    nodes = {str(number): {"signal": name, "into": "got"} for number, name in enumerate(names)}
    return {"start_node": "0", "nodes": nodes, "edges": dict(pairwise(nodes))}


class TestNames:
    """A name that no node of the run's own graph waits for is refused, and nothing happens."""

    @pytest.mark.parametrize(
        ("names", "sent", "says"),
        [
            (["approval", "payment"], "aproval", "'aproval'; did you mean 'approval'?"),
            (["approval"], "Approval", "did you mean 'approval'?"),
            (["approval"], "approval ", "did you mean 'approval'?"),
            (["approval"], "approval/", "did you mean 'approval'?"),
            (["a/b"], "a-b", "did you mean 'a/b'?"),
            (["b", "a"], "xyzzy", "its nodes wait for 'a', 'b'"),
            ([str(number) for number in range(30)], "xyzzy", " and 20 more"),
            (["naïve ☃"], "naive ☃", "did you mean 'naïve ☃'?"),
            (["x" * 1000], "x" * 999, "no node"),
            (["go"], "y" * 5000, "no node"),
        ],
    )
    def test_with_the_closest_match(
        self, live: Server, http: httpx.Client, names: list[str], sent: str, says: str
    ) -> None:
        run_id = begin(http, approval(*names))
        until(http, run_id, "waiting")
        before = live.tables()
        answer = send(http, run_id, sent, 1, key="k")
        refused(answer, 422, pointer="/name", names=says)
        assert len(answer.json()["detail"]) < 1500
        assert live.tables() == before
        # The key was not consumed.
        assert send(http, run_id, names[0], 1, key="k").status_code == 202

    def test_where_nobody_waits_for_any(self, http: httpx.Client) -> None:
        run_id = begin(http, graph("risky"))
        until(http, run_id, "failed")
        refused(send(http, run_id, "go"), 422, pointer="/name", names="nor for any other")

    def test_of_children_are_their_own_graphs(self, http: httpx.Client) -> None:
        child = create(http, approval("inner"))
        parent = begin(http, graph({"graph": child, "into": "got"}, {"signal": "outer"}))
        until(http, parent, "waiting")
        (child_id,) = [
            run["run_id"]
            for run in http.get("/runs", params={"graph_id": child}).json()["items"]
            if run["parent"]["run_id"] == parent
        ]
        refused(send(http, parent, "inner"), 422, pointer="/name")
        refused(send(http, child_id, "outer"), 422, pointer="/name")
        assert send(http, child_id, "inner", 1).status_code == 202
        assert send(http, parent, "outer", 2).status_code == 202
        assert until(http, parent, "completed")["state"]["outer"] == 2

    def test_are_looked_at_after_the_run_its_status_and_the_key(self, http: httpx.Client) -> None:
        run_id = begin(http, approval("x"))
        assert send(http, run_id, "x", 1, key="k").status_code == 202
        until(http, run_id, "completed")
        assert send(http, run_id, "x", 1, key="k").status_code == 200
        refused(send(http, run_id, "xx", 1, key="k"), 409)
        refused(send(http, run_id, "xx", 1), 409, names="completed")
        refused(send(http, UNKNOWN, "xx", 1), 404)

    def test_that_were_accepted_by_an_earlier_version_are_answered_again(
        self, live: Server, http: httpx.Client
    ) -> None:
        run_id = held(http)
        key = keyed("k", f"signal:{run_id}", {"name": "lost", "payload": 1})
        assert live.do(live.services.store.signals.send(run_id, "lost", "1", key))
        assert send(http, run_id, "lost", 1, key="k").status_code == 200


class TestTimeout:
    def test_is_an_error_that_an_edge_can_take(self, http: httpx.Client) -> None:
        document = graph(WAIT | {"timeout_s": 0.05}, "add")
        document["edges"] = {"a": [{"to": "b", "on_error": ["timeout"]}, {"to": None}]}
        run = until(http, begin(http, document), "completed")
        assert (run["state"]["n"], run["state"]["error"]["type"]) == (1, "timeout")

    def test_ends_the_run_otherwise(self, http: httpx.Client) -> None:
        run = until(http, begin(http, graph(WAIT | {"timeout_s": 0.05})), "failed")
        assert (run["error"]["type"], run["error"]["node"]) == ("timeout", "a")


class TestIdempotency:
    def test_the_same_call_sends_one_signal(self, http: httpx.Client) -> None:
        run_id = begin(http, graph({"signal": "x", "into": "p"}, {"signal": "x", "into": "q"}))
        first = send(http, run_id, "x", {"a": 1, "b": 2}, key="k")
        again = http.post(f"/runs/{run_id}/signals/x", content=b'{"b": 2, "a": 1}', headers={"Idempotency-Key": "k"})
        assert (first.status_code, again.status_code, first.json()) == (202, 200, again.json())
        until(http, run_id, "waiting", step=1)
        send(http, run_id, "x", 3)
        assert until(http, run_id, "completed")["state"] == {"p": {"a": 1, "b": 2}, "q": 3}
        # The key is kept as long as the run, whatever became of it.
        assert send(http, run_id, "x", {"a": 1, "b": 2}, key="k").status_code == 200

    @pytest.mark.parametrize(("name", "payload"), [("x", 1.0), ("x", None), ("y", 1)])
    def test_another_name_or_payload_is_a_conflict(self, http: httpx.Client, name: str, payload: Any) -> None:
        run_id = held(http)
        assert send(http, run_id, "x", 1, key="k").status_code == 202
        refused(send(http, run_id, name, payload, key="k"), 409)

    def test_keys_are_of_a_run_and_of_this_route(self, http: httpx.Client) -> None:
        one, two = held(http), held(http)
        assert [send(http, run_id, "x", 1, key="k").status_code for run_id in (one, two)] == [202, 202]
        body = {"graph_id": run_of(http, one)["graph_id"]}
        assert http.post("/graph/run", json=body, headers={"Idempotency-Key": "k"}).status_code == 202

    def test_a_refused_call_consumes_no_key(self, http: httpx.Client) -> None:
        run_id = held(http)
        headers = {"Idempotency-Key": "k"}
        assert http.post(f"/runs/{run_id}/signals/x", headers=headers).status_code == 400
        assert send(http, run_id, "x", deep(100), key="k").status_code == 422
        assert send(http, run_id, "x", 1, key="k").status_code == 202

    @pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
    def test_keys_that_are_refused(self, http: httpx.Client, key: str) -> None:
        refused(send(http, held(http), "x", 1, key=key), 422, pointer="/Idempotency-Key")


@pytest.fixture(scope="module")
def run_id(http: httpx.Client) -> str:
    return held(http)


class TestBadCalls:
    @pytest.mark.parametrize("body", [b"", b" ", b"{", b"nul", b"NaN", b'{"a":1,"a":2}', b"1e999", b"\xff"])
    def test_texts_that_are_no_json(self, live: Server, http: httpx.Client, run_id: str, body: bytes) -> None:
        before = live.tables()
        refused(http.post(f"/runs/{run_id}/signals/go", content=body), 400)
        assert live.tables() == before

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [(b'{"x": "\\u0000"}', "/x"), (b'["\\ud800"]', "/0"), (text(deep(100)), "/k" * 99)],
    )
    def test_values_that_no_state_holds(
        self, live: Server, http: httpx.Client, run_id: str, body: bytes, pointer: str
    ) -> None:
        before = live.tables()
        refused(http.post(f"/runs/{run_id}/signals/go", content=body), 422, pointer=pointer)
        assert live.tables() == before

    @pytest.mark.parametrize("name", ["", "%00", "a%00b", "%FF", "%ED%A0%80"])
    def test_names_that_no_graph_has(self, live: Server, http: httpx.Client, run_id: str, name: str) -> None:
        before = live.tables()
        refused(http.post(f"/runs/{run_id}/signals/{name}", json=1), 422, pointer="/name")
        assert live.tables() == before

    @pytest.mark.parametrize("unknown", [UNKNOWN, UNKNOWN.upper(), "x", "%00"])
    def test_unknown_and_malformed_ids(self, http: httpx.Client, unknown: str) -> None:
        refused(http.post(f"/runs/{unknown}/signals/go", json=1), 404)

    def test_the_rest(self, http: httpx.Client, run_id: str) -> None:
        refused(http.post(f"/runs/{run_id}/signals/go?x=1", json=1), 422, pointer="/x")
        refused(http.get(f"/runs/{run_id}/signals/go"), 405)
        refused(http.post(f"/runs/{run_id}/signals/go", content=b"1" * (2**20 + 1)), 413)
        refused(http.post(f"/runs/{run_id}/signals/go", content=b"a=1", headers={"content-type": "text/plain"}), 415)
