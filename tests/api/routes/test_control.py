"""Cancel, pause and resume over HTTP, of runs that a real engine carries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api import ApiSettings
from tests.support.api.executing import (
    CALLS,
    GATES,
    MENDED,
    UNKNOWN,
    begin,
    create,
    events_of,
    executing,
    graph,
    moved,
    post,
    refused,
    run_of,
    steps_of,
    until,
)
from tests.support.api.harness import Server, deep, eventually

LOOP = {
    "start_node": "a",
    "nodes": {"a": "add"},
    "edges": {"a": {"to": "a", "condition": {"key": "n", "op": "<", "value_from": "until"}}},
}


def completed(client: httpx.Client) -> str:
    run_id = begin(client, graph("add"))
    until(client, run_id, "completed")
    return run_id


def failed(client: httpx.Client) -> str:
    run_id = begin(client, graph("risky"))
    until(client, run_id, "failed")
    return run_id


def waiting(client: httpx.Client) -> str:
    run_id = begin(client, graph({"signal": "go"}))
    until(client, run_id, "waiting")
    return run_id


def at_gate(client: httpx.Client, document: Any, gate: str) -> str:
    run_id = begin(client, document, gate=gate)
    assert GATES[gate].entered.wait(60)
    return run_id


class TestCancel:
    def test_a_waiting_run_ends_at_once(self, http: httpx.Client) -> None:
        run_id = waiting(http)
        assert moved(http, run_id, "cancel") == "cancelled"
        run = run_of(http, run_id)
        assert (run["status"], run["current_node"], run["error"]) == ("cancelled", None, None)
        assert run["finished_at"] is not None
        assert run["logs"][-1]["event"] == "run_cancelled"
        assert run["logs"][-1]["seq"] == run["last_seq"]

    def test_again_it_is_the_same(self, http: httpx.Client) -> None:
        run_id = waiting(http)
        moved(http, run_id, "cancel")
        run = run_of(http, run_id)
        assert moved(http, run_id, "cancel", {}) == "cancelled"
        assert run_of(http, run_id) == run

    @pytest.mark.parametrize("over", [completed, failed])
    def test_a_run_that_ended_otherwise_is_left_alone(self, http: httpx.Client, over: Any) -> None:
        run_id = over(http)
        run = run_of(http, run_id)
        refused(post(http, run_id, "cancel"), 409, names=run["status"])
        assert run_of(http, run_id) == run

    def test_a_late_result_is_refused(self, http: httpx.Client) -> None:
        run_id = at_gate(http, graph("gated", "add"), "late")
        moved(http, run_id, "cancel")
        run = run_of(http, run_id)
        assert run["status"] == "cancelled"
        GATES["late"].opened.set()
        # What came after it is done, and so is what it left behind.
        until(http, begin(http, graph("add")), "completed")
        assert run_of(http, run_id) == run
        assert steps_of(http, run_id) == []

    def test_a_paused_run_can_be_cancelled(self, http: httpx.Client) -> None:
        run_id = waiting(http)
        moved(http, run_id, "pause")
        assert moved(http, run_id, "cancel") == "cancelled"

    def test_children_are_cancelled_too(self, http: httpx.Client) -> None:
        child = create(http, graph({"signal": "never"}))
        run_id = begin(http, graph({"graph": child, "for_each": "items", "into": "out"}), items=[1, 2])
        children = eventually(lambda: of_graph(http, child, "waiting", 2))
        moved(http, run_id, "cancel")
        assert {run_of(http, each)["status"] for each in children} == {"cancelled"}
        assert {run_of(http, each)["parent"]["run_id"] for each in children} == {run_id}

    def test_a_cancelled_child_fails_its_node(self, http: httpx.Client) -> None:
        child = create(http, graph({"signal": "not yet"}))
        run_id = begin(http, graph({"graph": child, "for_each": "items", "into": "out"}), items=[1, 2])
        children = eventually(lambda: of_graph(http, child, "waiting", 2))
        moved(http, children[0], "cancel")
        assert until(http, run_id, "failed")["error"]["type"] == "child_failed"
        until(http, children[1], "cancelled")


def of_graph(client: httpx.Client, graph_id: str, status: str, count: int) -> list[str]:
    """The runs of a graph, once there are `count` with that status."""
    items = client.get("/runs", params={"graph_id": graph_id, "status": status}).json()["items"]
    return [item["run_id"] for item in items] if len(items) == count else []


class TestPause:
    def test_a_waiting_run_rests_at_once_and_goes_on_where_it_was(self, http: httpx.Client) -> None:
        run_id = waiting(http)
        assert moved(http, run_id, "pause") == "paused"
        paused = run_of(http, run_id)
        assert (paused["status"], paused["current_node"], paused["error"]) == ("paused", "a", None)
        assert paused["logs"][-1]["event"] == "run_paused"
        assert moved(http, run_id, "resume") == "waiting"
        assert http.post(f"/runs/{run_id}/signals/go", json=1).status_code == 202
        assert until(http, run_id, "completed")["state"] == {"go": 1}

    def test_pausing_it_again_changes_nothing(self, http: httpx.Client) -> None:
        run_id = waiting(http)
        moved(http, run_id, "pause")
        run = run_of(http, run_id)
        assert moved(http, run_id, "pause", {}) == "paused"
        assert run_of(http, run_id) == run

    def test_the_due_time_stands(self, http: httpx.Client) -> None:
        run_id = begin(http, graph({"sleep": 3600}))
        until(http, run_id, "waiting")
        due_at = http.get(f"/runs/{run_id}/why").json()["due_at"]
        moved(http, run_id, "pause")
        assert http.get(f"/runs/{run_id}/why").json()["due_at"] == due_at
        assert moved(http, run_id, "resume") == "waiting"
        assert http.get(f"/runs/{run_id}/why").json()["due_at"] == due_at

    def test_time_passes_meanwhile(self, http: httpx.Client) -> None:
        run_id = begin(http, graph({"sleep": 0.2}, {"signal": "go"}))
        until(http, run_id, "waiting")
        moved(http, run_id, "pause")
        other = begin(http, graph({"sleep": 0.4}))
        until(http, other, "completed")
        assert (run_of(http, run_id)["status"], run_of(http, run_id)["step"]) == ("paused", 0)
        moved(http, run_id, "resume")
        until(http, run_id, "waiting", step=1)

    def test_a_running_one_rests_at_its_next_boundary(self, http: httpx.Client) -> None:
        run_id = at_gate(http, graph("gated", "add"), "boundary")
        assert moved(http, run_id, "pause") == "running"
        assert run_of(http, run_id)["status"] == "running"
        GATES["boundary"].opened.set()
        paused = until(http, run_id, "paused")
        assert (paused["step"], paused["current_node"], paused["state"]["passed"]) == (1, "b", True)
        assert moved(http, run_id, "resume") == "queued"
        assert until(http, run_id, "completed")["step"] == 2

    def test_a_step_that_ends_the_run_leaves_nothing_to_pause(self, http: httpx.Client) -> None:
        run_id = at_gate(http, graph("gated"), "last")
        moved(http, run_id, "pause")
        GATES["last"].opened.set()
        until(http, run_id, "completed")
        assert "run_paused" not in events_of(http, run_id)

    def test_a_pause_that_has_not_taken_effect_is_withdrawn(self, http: httpx.Client) -> None:
        run_id = at_gate(http, graph("gated", "add"), "withdrawn")
        moved(http, run_id, "pause")
        assert moved(http, run_id, "resume") == "running"
        GATES["withdrawn"].opened.set()
        until(http, run_id, "completed")
        assert "run_paused" not in events_of(http, run_id)

    @pytest.mark.parametrize("over", [completed, failed])
    def test_a_run_that_is_over_is_not_paused(self, http: httpx.Client, over: Any) -> None:
        run_id = over(http)
        refused(post(http, run_id, "pause"), 409, names=run_of(http, run_id)["status"])

    def test_nor_one_that_was_cancelled(self, http: httpx.Client) -> None:
        run_id = waiting(http)
        moved(http, run_id, "cancel")
        refused(post(http, run_id, "pause"), 409, names="cancelled")
        refused(post(http, run_id, "resume"), 409, names="cancelled")


class TestResume:
    def test_a_failed_run_tries_the_same_step_again(self, http: httpx.Client) -> None:
        run_id = failed(http)
        MENDED.add(run_id)
        assert moved(http, run_id, "resume") == "queued"
        run = until(http, run_id, "completed")
        assert (run["error"], run["step"], run["state"]) == (None, 1, {"done": True})
        assert [(call.step, call.attempt, call.key) for call in CALLS[run_id]] == [
            (1, 1, f"{run_id}:1"),
            (1, 2, f"{run_id}:1"),
        ]
        (step,) = steps_of(http, run_id)
        assert step["attempt"] == 2
        assert [(each["attempt"], each["error"] and each["error"]["type"]) for each in step["attempts"]] == [
            (1, "tool_error"),
            (2, None),
        ]
        assert "run_resumed" in events_of(http, run_id)

    def test_it_can_fail_again_with_a_fresh_budget(self, http: httpx.Client) -> None:
        run_id = begin(http, graph({"tool": "risky", "retry": {"max_attempts": 2, "backoff_s": 0}}))
        assert until(http, run_id, "failed")["error"]["attempt"] == 2
        moved(http, run_id, "resume", {})
        eventually(lambda: len(CALLS[run_id]) == 4)
        assert until(http, run_id, "failed")["error"]["attempt"] == 4

    def test_a_patch_is_a_step_of_its_own(self, http: httpx.Client) -> None:
        run_id = begin(http, graph("risky"), old=1, kept={"x": 1, "y": 2})
        until(http, run_id, "failed")
        moved(http, run_id, "resume", {"patch": {"ok": True, "old": None, "kept": {"x": None, "z": 3}}})
        run = until(http, run_id, "completed")
        assert run["state"] == {"kept": {"y": 2, "z": 3}, "ok": True, "done": True}
        patch, step = steps_of(http, run_id)
        assert {key: patch[key] for key in ("step", "node", "attempt", "attempts", "changes", "decision")} == {
            "step": 1,
            "node": None,
            "attempt": 0,
            "attempts": [],
            "changes": {"set": {"kept": {"y": 2, "z": 3}, "ok": True}, "unset": ["old"]},
            "decision": {"to": "a", "reason": "patch", "evaluated": []},
        }
        assert (step["step"], step["node"], step["attempt"]) == (2, "a", 1)
        assert [call.key for call in CALLS[run_id]] == [f"{run_id}:1", f"{run_id}:2"]

    def test_a_paused_run_can_be_patched_too(self, http: httpx.Client) -> None:
        run_id = waiting(http)
        moved(http, run_id, "pause")
        moved(http, run_id, "resume", {"patch": {"seen": 1.0}})
        until(http, run_id, "waiting", step=1)
        http.post(f"/runs/{run_id}/signals/go", json=None, content=b"null")
        assert until(http, run_id, "completed")["state"] == {"seen": 1.0, "go": None}

    def test_beyond_max_steps(self, http: httpx.Client) -> None:
        run_id = begin(http, LOOP | {"max_steps": 2}, n=0, until=5)
        paused = until(http, run_id, "paused")
        assert (paused["step"], paused["error"]) == (2, None)
        assert "max_steps" in paused["logs"][-1]["message"]
        assert paused["logs"][-1]["event"] == "run_paused"
        moved(http, run_id, "resume")
        again = eventually(lambda: events_of(http, run_id).count("run_paused") == 2 and run_of(http, run_id))
        assert again
        assert until(http, run_id, "paused")["step"] == 2
        moved(http, run_id, "resume", {"max_steps": 5})
        assert until(http, run_id, "completed")["state"]["n"] == 5

    def test_a_patch_does_not_count_for_max_steps(self, http: httpx.Client) -> None:
        run_id = begin(http, LOOP | {"max_steps": 2}, n=0, until=100)
        until(http, run_id, "paused")
        moved(http, run_id, "resume", {"patch": {"until": 3}, "max_steps": 3})
        run = until(http, run_id, "completed")
        assert (run["step"], run["state"]["n"]) == (4, 3)

    def test_beyond_max_visits(self, http: httpx.Client) -> None:
        document = LOOP | {"nodes": {"a": {"tool": "add", "max_visits": 2}}}
        run_id = begin(http, document, n=0, until=4)
        paused = until(http, run_id, "paused")
        assert (paused["step"], paused["error"]) == (2, None)
        assert "max_visits" in paused["logs"][-1]["message"]
        moved(http, run_id, "resume")
        assert until(http, run_id, "completed")["step"] == 4

    def test_a_waiting_or_running_or_completed_run_is_not_resumed(self, http: httpx.Client) -> None:
        refused(post(http, waiting(http), "resume"), 409, names="waiting")
        refused(post(http, completed(http), "resume"), 409, names="completed")
        run_id = at_gate(http, graph("gated"), "resumed")
        refused(post(http, run_id, "resume"), 409, names="running")
        GATES["resumed"].opened.set()
        until(http, run_id, "completed")

    def test_a_patch_that_makes_the_state_too_large_is_refused(self, tmp_path: Path) -> None:
        with executing(tmp_path, ApiSettings(state_bytes_max=100)) as server, server.client() as client:
            run_id = failed(client)
            run = run_of(client, run_id)
            refused(post(client, run_id, "resume", {"patch": {"x": "y" * 100}, "max_steps": 9}), 422, pointer="/patch")
            assert (run_of(client, run_id), steps_of(client, run_id)) == (run, [])
            moved(client, run_id, "resume", {"patch": {"x": "y" * 50}})
            assert until(client, run_id, "failed", step=1)["state"] == {"x": "y" * 50}

    def test_a_patch_may_nest_as_deep_as_a_state(self, http: httpx.Client) -> None:
        run_id = failed(http)
        refused(post(http, run_id, "resume", {"patch": deep(101)}), 422, pointer="/patch" + "/k" * 100)
        moved(http, run_id, "resume", {"patch": {"k": deep(99)}})
        assert until(http, run_id, "failed", step=1)["state"] == deep(100)


BAD = [
    ("cancel", {"x": 1}, "/x"),
    ("cancel", [], ""),
    ("pause", {"until": None}, "/until"),
    ("pause", 1, ""),
    ("resume", [], ""),
    ("resume", {"patch": None}, "/patch"),
    ("resume", {"patch": []}, "/patch"),
    ("resume", {"patch": "{}"}, "/patch"),
    ("resume", {"max_steps": None}, "/max_steps"),
    ("resume", {"max_steps": 0}, "/max_steps"),
    ("resume", {"max_steps": -1}, "/max_steps"),
    ("resume", {"max_steps": 1.0}, "/max_steps"),
    ("resume", {"max_steps": True}, "/max_steps"),
    ("resume", {"max_steps": "1"}, "/max_steps"),
    ("resume", {"max_steps": 2**63}, "/max_steps"),
    ("resume", {"maxSteps": 1}, "/maxSteps"),
]


@pytest.fixture(scope="module")
def run_id(http: httpx.Client) -> str:
    return failed(http)


class TestBadCalls:
    @pytest.mark.parametrize(("call", "body", "pointer"), BAD)
    def test_bodies(self, live: Server, http: httpx.Client, run_id: str, call: str, body: Any, pointer: str) -> None:
        before = live.tables()
        refused(post(http, run_id, call, body), 422, pointer=pointer)
        assert live.tables() == before

    @pytest.mark.parametrize("call", ["cancel", "pause", "resume"])
    def test_texts(self, http: httpx.Client, run_id: str, call: str) -> None:
        for text in (b"{", b'{"patch": {"a": NaN}}', b'{"patch": {"a": 1, "a": 2}}', b" "):
            refused(http.post(f"/runs/{run_id}/{call}", content=text), 400)
        refused(http.post(f"/runs/{run_id}/{call}", content=b'{"patch": {"a": "\\u0000"}}'), 422)
        refused(http.post(f"/runs/{run_id}/{call}?x=1"), 422, pointer="/x")
        xml = {"content-type": "application/xml"}
        refused(http.post(f"/runs/{run_id}/{call}", content=b"<a/>", headers=xml), 415)
        refused(http.get(f"/runs/{run_id}/{call}"), 405)

    @pytest.mark.parametrize("call", ["cancel", "pause", "resume"])
    @pytest.mark.parametrize("unknown", [UNKNOWN, UNKNOWN.upper(), "x", "%00", "a" * 5000])
    def test_unknown_and_malformed_ids(self, http: httpx.Client, call: str, unknown: str) -> None:
        refused(http.post(f"/runs/{unknown}/{call}"), 404)
