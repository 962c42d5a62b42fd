"""Why a run is where it is: in each status, what it waits for, and in which words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from service.api.responses.explanation import because
from service.store.rows.records import AttemptRecord, RunRecord, StepRecord, WaitRecord, WhyRecord
from tests.support.api.executing import GATES, UNKNOWN, begin, create, graph, moved, refused, run_of, steps_of, until
from tests.support.api.harness import eventually

T = "2030-01-01T00:00:00.000Z"


def why(client: httpx.Client, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/runs/{run_id}/why").json()
    assert found["because"][-1] == "."
    return found


class TestOfRuns:
    def test_that_wait_for_a_signal(self, http: httpx.Client) -> None:
        run_id = begin(http, graph("add", {"signal": "go", "timeout_s": 3600}))
        until(http, run_id, "waiting")
        found = why(http, run_id)
        assert found["because"] == f"Node 'b' waits for the signal 'go', until {found['due_at']} at the latest."
        (step,) = steps_of(http, run_id)
        assert found == {
            "status": "waiting",
            "because": found["because"],
            "waiting_for": {"kind": "signal", "name": "go"},
            "due_at": found["due_at"],
            "last_decision": {"step": 1, "node": "a", **step["decision"]},
            "attempts": [],
        }
        assert found["due_at"] > run_of(http, run_id)["created_at"]

    def test_that_wait_for_a_signal_forever(self, http: httpx.Client) -> None:
        run_id = begin(http, graph({"signal": "go"}))
        until(http, run_id, "waiting")
        found = why(http, run_id)
        assert "due_at" not in found
        assert found["last_decision"] is None

    def test_that_sleep(self, http: httpx.Client) -> None:
        run_id = begin(http, graph({"sleep": {"until": "at"}}), at=T)
        until(http, run_id, "waiting")
        found = why(http, run_id)
        assert (found["waiting_for"], found["due_at"]) == ({"kind": "sleep"}, T)
        assert found["because"] == f"Node 'a' sleeps until {T}."

    def test_that_are_between_two_attempts(self, http: httpx.Client) -> None:
        run_id = begin(http, graph({"tool": "risky", "retry": {"backoff_s": 3600, "max_backoff_s": 3600}}))
        until(http, run_id, "waiting")
        found = why(http, run_id)
        assert found["waiting_for"] == {"kind": "backoff"}
        assert "failed with tool_error: " in found["because"]
        assert found["because"].endswith(f"it is tried again at {found['due_at']}.")
        assert [(each["attempt"], each["error"]["type"]) for each in found["attempts"]] == [(1, "tool_error")]

    def test_that_wait_for_their_children(self, http: httpx.Client) -> None:
        child = create(http, graph({"signal": "go"}))
        run_id = begin(http, graph({"graph": child, "for_each": "items", "into": "out"}), items=[1, 2, 3])
        until(http, run_id, "waiting")
        assert eventually(lambda: why(http, run_id)["waiting_for"] == {"kind": "children", "open": 3})
        assert why(http, run_id)["because"] == "Node 'a' waits for 3 child runs."
        moved(http, run_id, "cancel")

    def test_that_are_paused_in_a_wait(self, http: httpx.Client) -> None:
        run_id = begin(http, graph({"signal": "go"}))
        until(http, run_id, "waiting")
        moved(http, run_id, "pause")
        found = why(http, run_id)
        assert (found["status"], found["waiting_for"]) == ("paused", {"kind": "signal", "name": "go"})
        assert "waits for the signal 'go'" in found["because"]

    def test_that_reached_a_limit(self, http: httpx.Client) -> None:
        run_id = begin(http, graph("add", "add", max_steps=1))
        until(http, run_id, "paused")
        found = why(http, run_id)
        assert "max_steps" in found["because"]
        assert "waiting_for" not in found

    def test_that_run(self, http: httpx.Client) -> None:
        run_id = begin(http, graph("gated"), gate="why")
        assert GATES["why"].entered.wait(60)
        assert "runs node 'a' as step 1" in why(http, run_id)["because"]
        moved(http, run_id, "pause")
        assert why(http, run_id)["because"].endswith("; it pauses as soon as that is done.")
        GATES["why"].opened.set()
        until(http, run_id, "completed")

    def test_that_completed(self, http: httpx.Client) -> None:
        run_id = begin(http, graph({"tool": "add"}))
        until(http, run_id, "completed")
        found = why(http, run_id)
        assert found["because"] == "It completed after 1 step: node 'a' has no edges."
        assert (found["last_decision"]["reason"], found["attempts"]) == ("no_edges", [])

    def test_that_failed(self, http: httpx.Client) -> None:
        run_id = begin(http, graph("add", {"tool": "risky", "retry": {"max_attempts": 2, "backoff_s": 0}}))
        until(http, run_id, "failed")
        found = why(http, run_id)
        assert found["because"].startswith("Node 'b' failed at step 2, attempt 2, with tool_error: ")
        assert "boom" in found["because"]
        assert [each["attempt"] for each in found["attempts"]] == [1, 2]
        assert found["last_decision"]["node"] == "a"

    def test_that_were_cancelled(self, http: httpx.Client) -> None:
        run_id = begin(http, graph({"signal": "go"}))
        until(http, run_id, "waiting")
        moved(http, run_id, "cancel")
        found = why(http, run_id)
        assert found["because"].startswith("It was cancelled at ")
        assert "waiting_for" not in found

    def test_that_were_patched(self, http: httpx.Client) -> None:
        run_id = begin(http, graph("risky"))
        until(http, run_id, "failed")
        moved(http, run_id, "resume", {"patch": {"x": 1}})
        until(http, run_id, "failed", step=1)
        last = why(http, run_id)["last_decision"]
        assert last == {"step": 1, "node": None, "to": "a", "reason": "patch", "evaluated": []}

    @pytest.mark.parametrize("unknown", [UNKNOWN, "x", "%00"])
    def test_that_are_not_there(self, http: httpx.Client, unknown: str) -> None:
        refused(http.get(f"/runs/{unknown}/why"), 404)
        refused(http.get(f"/runs/{unknown}/why?x=1"), 422, pointer="/x")


ERROR = '{"type":"timeout","message":"too late.","node":"b","step":2,"attempt":3}'
RUN = RunRecord(UNKNOWN, "0" * 32, "queued", "b", 1, None, "{}", T, T, None, 3)
STEP = StepRecord(1, "a", 1, (), {}, (), None, "none_true", "[]", T, T, 1.0)
WHY = WhyRecord(RUN, None, False, None, STEP, (), None, T)
TRIED = (AttemptRecord(1, '{"type":"timeout","message":""}', T, T), AttemptRecord(2, ERROR, T, T))


def told(status: str, wait: WaitRecord | None = None, **known: Any) -> WhyRecord:
    current = None if status in ("completed", "cancelled") else "b"
    error = ERROR if status == "failed" else None
    run = replace(RUN, status=status, current_node=current, error=error, finished_at=T)
    return replace(WHY, run=run, wait=wait, **known)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (told("queued"), f"It is ready to run node 'b', and waits for a server since {T}."),
        (told("running"), "A server runs node 'b' as step 2."),
        (
            told("running", lease_owner="S", attempts=TRIED),
            "The server S runs node 'b' as step 2, after 2 failed attempts.",
        ),
        (
            told("running", lease_owner="S", attempts=TRIED[:1], pause_asked=True),
            "The server S runs node 'b' as step 2, after 1 failed attempt; it pauses as soon as that is done.",
        ),
        (
            told("running", blocked_by=f'{{"blocked_by":{{"run_id":"{UNKNOWN}","tool":"t"}}}}'),
            "A server runs node 'b' as step 2, whose async tool 't' blocks all async tools: it does not await.",
        ),
        (
            told("running", pause_asked=True, blocked_by='{"blocked_by":{"run_id":"other","tool":"t"}}'),
            "A server runs node 'b' as step 2, and waits for the async tool 't' of run other, which blocks all async"
            " tools; it pauses as soon as that is done.",
        ),
        (told("running", blocked_by='{"blocked_by":null}'), "A server runs node 'b' as step 2."),
        (told("running", blocked_by='{"blocked_by":[{"run_id":1}]}'), "A server runs node 'b' as step 2."),
        (
            told("running", on_cluster='{"cluster":{"worker":"w1","address":"tcp://h:1"}}'),
            "A server runs node 'b' as step 2, on the worker w1 (tcp://h:1).",
        ),
        (
            told("running", on_cluster='{"cluster":{"waits_for":"the cluster tcp://h:8786 (refused)"}}'),
            "A server runs node 'b' as step 2, and waits for the cluster tcp://h:8786 (refused).",
        ),
        *(
            (told("running", on_cluster=odd), "A server runs node 'b' as step 2.")
            for odd in ('{"cluster":null}', '{"cluster":{"worker":1}}', '{"cluster":{"worker":"w1"}}', '{"cluster":[]}')
        ),
        (told("waiting", WaitRecord("signal", "go", T, None)), "Node 'b' waits for the signal 'go'."),
        (
            told("waiting", WaitRecord("children", None, T, T, 1)),
            f"Node 'b' waits for the one child run that is not over, until {T} at the latest.",
        ),
        (
            told("waiting", WaitRecord("backoff", None, T, T), attempts=TRIED[:1]),
            f"Node 'b' failed with timeout; it is tried again at {T}.",
        ),
        (
            told("waiting", WaitRecord("backoff", None, T, T), attempts=TRIED),
            f"Node 'b' failed with timeout: too late; it is tried again at {T}.",
        ),
        (told("paused"), "It is paused until somebody resumes it."),
        (told("paused", paused_because="reached it"), "It is paused until somebody resumes it: reached it."),
        (
            told("paused", WaitRecord("sleep", None, T, T), paused_because="on request"),
            f"It is paused until somebody resumes it: on request; meanwhile node 'b' sleeps until {T}.",
        ),
        (told("completed"), "It completed after 1 step: no edge of node 'a' is true."),
        (
            told("completed", last_step=replace(STEP, step=2, reason="condition")),
            "It completed after 2 steps: an edge of node 'a' ends the run, and its condition is true.",
        ),
        (
            told("completed", last_step=replace(STEP, reason="unconditional")),
            "It completed after 1 step: an edge of node 'a' ends the run.",
        ),
        (
            told("completed", last_step=replace(STEP, reason="on_error")),
            "It completed after 1 step: an error edge of node 'a' ends the run.",
        ),
        (told("failed"), "Node 'b' failed at step 2, attempt 3, with timeout: too late."),
        (told("cancelled"), f"It was cancelled at {T}, after 1 step."),
    ],
)
def test_the_words(record: WhyRecord, words: str) -> None:
    assert because(record) == words
