"""Backtest over HTTP: what another graph would have made of runs that are there."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.api.executing import UNKNOWN, begin, create, graph, moved, refused, steps_of, until
from tests.support.api.harness import Server

GRAPH = "0" * 32


def loop(limit: Any, **more: Any) -> dict[str, Any]:
    """Counts `n` up as long as it is below `limit`."""
    again = {"to": "a", "condition": {"key": "n", "op": "<", "value": limit}}
    return {"start_node": "a", "nodes": {"a": "add"}, "edges": {"a": [again]}} | more


def backtest(client: httpx.Client, graph_id: str, /, **runs: Any) -> dict[str, Any]:
    answer = client.post(f"/graph/{graph_id}/backtest", json={"runs": runs})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def finished(client: httpx.Client, document: Any, **state: Any) -> str:
    run_id = begin(client, document, **state)
    until(client, run_id, "completed")
    return run_id


def test_it_tells_where_runs_would_have_gone_elsewhere(live: Server, http: httpx.Client) -> None:
    run_id = finished(http, loop(3, name="told"), n=0)
    old, new = create(http, loop(3, name="told")), create(http, loop(2, name="told"))
    before = live.tables()
    assert backtest(http, new, graph_id=old) == {
        "runs": 1,
        "steps": 3,
        "diverging_runs": 1,
        "examples": [
            {
                "run_id": run_id,
                "step": 2,
                "node": "a",
                "went": "a",
                "would_go": None,
                "because": "none of 1 edges is true, with n = 2",
            }
        ],
    }
    longer = backtest(http, create(http, loop(9, name="told")), graph_id=old)
    assert [(each["step"], each["went"], each["would_go"]) for each in longer["examples"]] == [(3, None, "a")]
    assert before["runs"] == live.tables()["runs"]
    assert before["log_lines"] == live.tables()["log_lines"]


def test_the_graph_itself_diverges_nowhere(http: httpx.Client) -> None:
    finished(http, loop(3, name="itself"), n=0)
    graph_id = create(http, loop(3, name="itself"))
    assert backtest(http, graph_id, graph_id=graph_id) == {"runs": 1, "steps": 3, "diverging_runs": 0, "examples": []}


def test_what_is_passed_over(http: httpx.Client) -> None:
    document = graph("add", "risky", "add", {"signal": "x", "timeout_s": 0.01}, "add")
    document["edges"]["d"] = {"to": "e", "on_error": True}
    run_id = begin(http, document)
    until(http, run_id, "failed")
    moved(http, run_id, "resume", {"patch": {"ok": True}})
    until(http, run_id, "completed")
    reasons = [step["decision"]["reason"] for step in steps_of(http, run_id)]
    assert reasons == ["unconditional", "patch", "unconditional", "unconditional", "on_error", "no_edges"]
    # No node c, and each edge leads elsewhere.
    other = {"start_node": "a", "nodes": dict.fromkeys("abde", "add"), "edges": dict.fromkeys("abde", "a")}
    found = backtest(http, create(http, other), graph_id=create(http, document))
    assert (found["runs"], found["steps"], found["diverging_runs"]) == (1, 3, 1)
    assert [(each["step"], each["node"], each["went"], each["would_go"]) for each in found["examples"]] == [
        (1, "a", "b", "a"),
        (3, "b", "c", "a"),
        (6, "e", None, "a"),
    ]


def test_a_condition_error_diverges(http: httpx.Client) -> None:
    finished(http, loop(1, name="error"), n=0)
    document = loop(1, name="error")
    document["edges"]["a"][0]["condition"] = {"key": "missing", "op": "==", "value": 1}
    (example,) = backtest(http, create(http, document), graph_id=create(http, loop(1, name="error")))["examples"]
    assert (example["went"], example["would_go"]) == (None, None)
    assert example["because"] == "condition_error: the state has nothing at 'missing'; there is 'n'"


def branching(key: str, *caught: Any) -> dict[str, Any]:
    """From `a` to `b`, or to `c` where there is 0 at `key`, or over one of the edges `caught`."""
    edges = {"a": [{"to": "c", "condition": compared(key)}, {"to": "b"}, *caught]}
    return {"name": "branching", "start_node": "a", "nodes": dict.fromkeys("abcd", "add"), "edges": edges}


def compared(key: str, value: Any = 0) -> dict[str, Any]:
    return {"key": key, "op": "==", "value": value}


NOTHING = "condition_error: the state has nothing at 'missing'; there is 'n'"


@pytest.mark.parametrize(
    ("caught", "would_go", "because"),
    [
        ([{"to": "d", "on_error": True}], "d", f"{NOTHING}; an error edge catches it"),
        ([{"to": "d", "on_error": ["condition_error"], "into": "why"}], "d", f"{NOTHING}; an error edge catches it"),
        ([{"to": None, "on_error": True}], None, f"{NOTHING}; an error edge catches it"),
        ([{"to": "d", "on_error": ["tool_error", "timeout"]}], None, NOTHING),
        # Asked of the state before the step, in which `n` was 0, and of the record.
        ([{"to": "d", "on_error": True, "condition": compared("n", 1)}], None, NOTHING),
        (
            [
                {"to": "c", "on_error": True, "condition": compared("n", 1)},
                {"to": "d", "on_error": True, "condition": compared("n", 0)},
            ],
            "d",
            f"{NOTHING}; an error edge catches it",
        ),
        (
            [{"to": "d", "on_error": True, "into": "why", "condition": compared("why.type", "condition_error")}],
            "d",
            f"{NOTHING}; an error edge catches it",
        ),
        (
            [{"to": "d", "on_error": True, "condition": compared("other")}],
            None,
            "condition_error: the state has nothing at 'other'; there is 'n', 'error'",
        ),
    ],
)
def test_a_condition_error_goes_over_the_error_edge_that_a_run_would_take(
    http: httpx.Client, caught: list[Any], would_go: str | None, because: str
) -> None:
    finished(http, branching("n"), n=0)
    new = create(http, branching("missing", *caught))
    found = backtest(http, new, graph_id=create(http, branching("n")), limit=1)
    example = found["examples"][0]
    assert (example["step"], example["went"], example["would_go"], example["because"]) == (1, "b", would_go, because)

    real = begin(http, branching("missing", *caught), n=0)
    run = until(http, real, "completed" if because.endswith("catches it") else "failed")
    if run["status"] == "completed":
        first = steps_of(http, real)[0]["decision"]
        assert (first["to"], first["reason"]) == (would_go, "on_error")


def test_an_error_edge_that_leads_where_the_run_went_is_no_detour_and_its_step_is_passed_over(
    http: httpx.Client,
) -> None:
    finished(http, branching("n"), n=0)
    old = create(http, branching("n"))
    caught = branching("missing", {"to": "b", "on_error": True})
    assert backtest(http, create(http, caught), graph_id=old, limit=1)["diverging_runs"] == 0
    # The other way round: a run that went over the error edge.
    finished(http, caught, n=0)
    found = backtest(http, old, graph_id=create(http, caught))
    assert (found["runs"], found["steps"], found["diverging_runs"]) == (1, 1, 0)


def test_states_are_those_after_each_step(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    # In pages, some of which end early.
    monkeypatch.setattr("service.store.queries.backtest.STEPS_AT_ONCE", 3)
    document = loop(8, name="states")
    finished(http, document, n=0, gone=1, kept={"x": [1.0]})
    asked = {
        "all": [
            {"key": "kept.x.0", "op": "==", "value": 1},
            {"key": "gone", "op": "exists"},
            {"key": "n", "op": "in", "value": [1, 4, 6, 7]},
        ]
    }
    other = document | {"edges": {"a": {"to": "a", "condition": asked}}}
    found = backtest(http, create(http, other), graph_id=create(http, document))
    assert (found["steps"], [each["step"] for each in found["examples"]]) == (8, [2, 3, 5])


def test_removed_keys_are_not_there(http: httpx.Client) -> None:
    document = graph("risky", "add", name="removed")
    run_id = begin(http, document, gone=1)
    until(http, run_id, "failed")
    moved(http, run_id, "resume", {"patch": {"ok": True, "gone": None}})
    until(http, run_id, "completed")
    edge = {"to": "b", "condition": {"key": "gone", "op": "exists", "value": False}}
    other = document | {"edges": {"a": edge, "b": {"to": None, "condition": edge["condition"]}}}
    assert backtest(http, create(http, other), graph_id=create(http, document))["diverging_runs"] == 0


def test_which_runs(http: httpx.Client) -> None:
    document = graph("risky", name="which")
    old = create(http, document)
    done = [finished(http, document, ok=True, number=number) for number in range(3)]
    until(http, begin(http, document), "failed")
    new = create(http, document | {"edges": {"a": "a"}})
    assert backtest(http, new, graph_id=old)["runs"] == 4
    found = backtest(http, new, graph_id=old, status="completed", limit=2)
    assert (found["runs"], found["diverging_runs"]) == (2, 2)
    assert [each["run_id"] for each in found["examples"]] == [done[2], done[1]]
    failed = backtest(http, new, graph_id=old, status="failed")
    assert failed == {"runs": 1, "steps": 0, "diverging_runs": 0, "examples": []}
    assert backtest(http, new, graph_id=new) == {"runs": 0, "steps": 0, "diverging_runs": 0, "examples": []}


def test_examples_are_at_most_a_hundred(http: httpx.Client) -> None:
    old, new = create(http, loop(120, name="many")), create(http, loop(1, name="many"))
    older = finished(http, loop(120, name="many"), n=0)
    found = backtest(http, new, graph_id=old)
    assert [(each["run_id"], each["step"]) for each in found["examples"]] == [(older, step) for step in range(1, 101)]
    newer = finished(http, loop(120, name="many"), n=0)
    found = backtest(http, new, graph_id=old)
    kept = [(newer, step) for step in range(1, 100)] + [(older, 1)]  # A run that diverges has an example.
    assert [(each["run_id"], each["step"]) for each in found["examples"]] == kept
    assert (found["steps"], found["diverging_runs"]) == (240, 2)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/runs"),
        ([], ""),
        ({"runs": []}, "/runs"),
        ({"runs": None}, "/runs"),
        ({"runs": {}}, "/runs/graph_id"),
        ({"runs": {"graph_id": 1}}, "/runs/graph_id"),
        ({"runs": {"graph_id": GRAPH, "status": "done"}}, "/runs/status"),
        ({"runs": {"graph_id": GRAPH, "status": None}}, "/runs/status"),
        ({"runs": {"graph_id": GRAPH, "status": []}}, "/runs/status"),
        ({"runs": {"graph_id": GRAPH, "limit": 0}}, "/runs/limit"),
        ({"runs": {"graph_id": GRAPH, "limit": 1001}}, "/runs/limit"),
        ({"runs": {"graph_id": GRAPH, "limit": 1.0}}, "/runs/limit"),
        ({"runs": {"graph_id": GRAPH, "limit": None}}, "/runs/limit"),
        ({"runs": {"graph_id": GRAPH, "tag": "a:b"}}, "/runs/tag"),
        ({"runs": {"graph_id": GRAPH}, "limit": 1}, "/limit"),
    ],
)
def test_bad_bodies(http: httpx.Client, body: Any, pointer: str) -> None:
    graph_id = create(http, loop(1))
    refused(http.post(f"/graph/{graph_id}/backtest", json=body), 422, pointer=pointer)


def test_bad_calls(http: httpx.Client) -> None:
    graph_id = create(http, loop(1))
    body = {"runs": {"graph_id": graph_id}}
    for unknown in (GRAPH, UNKNOWN, "x", "%00", "state"):
        refused(http.post(f"/graph/{unknown}/backtest", json=body), 404)
        refused(http.post(f"/graph/{graph_id}/backtest", json={"runs": {"graph_id": unknown}}), 404)
    for text in (b"", b"{", b'{"runs": NaN}'):
        refused(http.post(f"/graph/{graph_id}/backtest", content=text), 400)
    refused(http.post(f"/graph/{graph_id}/backtest?x=1", json=body), 422, pointer="/x")
    refused(http.get(f"/graph/{graph_id}/backtest"), 405)
