"""Forks over HTTP: a new run from any step of an old one, which stays as it is."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import example
from service.api import ApiSettings
from tests.support.api.executing import (
    UNKNOWN,
    begin,
    create,
    executing,
    graph,
    moved,
    post,
    refused,
    rows_about,
    run_of,
    steps_of,
    until,
)
from tests.support.api.harness import Server, deep
from tests.support.dirty_table import as_csv, dirty_table

COUNT = {
    "start_node": "a",
    "nodes": {"a": "add", "b": "add"},
    "edges": {"a": "b", "b": {"to": "a", "condition": {"key": "n", "op": "<", "value_from": "until"}}},
}


@pytest.fixture(scope="module")
def counted(http: httpx.Client) -> str:
    """A run that completed after 4 steps: a, b, a, b."""
    run_id = begin(http, COUNT, n=0, until=4)
    assert until(http, run_id, "completed")["step"] == 4
    return run_id


def fork(client: httpx.Client, run_id: str, body: Any = None) -> str:
    answer = post(client, run_id, "fork", body)
    assert answer.status_code == 202, answer.text
    new_id: str = answer.json()["run_id"]
    assert answer.json() == {"run_id": new_id}
    assert answer.headers["location"] == f"/graph/state/{new_id}"
    assert new_id != run_id
    return new_id


class TestWhere:
    def test_at_an_earlier_step_with_a_patch(self, live: Server, http: httpx.Client, counted: str) -> None:
        before = rows_about(live, {counted})
        new_id = fork(http, counted, {"step": 1, "patch": {"until": 6, "more": [1.0]}})
        run = until(http, new_id, "completed")
        assert run["forked_from"] == {"run_id": counted, "step": 1}
        assert run["parent"] is None
        assert run["tags"] == {}
        assert run["graph_id"] == run_of(http, counted)["graph_id"]
        assert http.get(f"/runs/{new_id}/state?step=0").json()["state"] == {"n": 1, "until": 6, "more": [1.0]}
        assert [step["node"] for step in steps_of(http, new_id)] == ["b", "a", "b", "a", "b"]
        assert run["state"]["n"] == 6
        after = rows_about(live, {counted})
        # The new run's own row names the old one; nothing else does.
        assert [row for row in after["runs"] if new_id not in row] == before["runs"]
        assert {name: rows for name, rows in after.items() if name != "runs"} == {
            name: rows for name, rows in before.items() if name != "runs"
        }

    def test_at_its_beginning(self, http: httpx.Client, counted: str) -> None:
        run = until(http, fork(http, counted, {"step": 0}), "completed")
        assert (run["step"], run["state"], run["forked_from"]["step"]) == (4, {"n": 4, "until": 4}, 0)

    def test_at_a_node_of_ones_own_choice(self, http: httpx.Client, counted: str) -> None:
        run = until(http, fork(http, counted, {"step": 1, "node": "a"}), "completed")
        assert [step["node"] for step in steps_of(http, run["run_id"])] == ["a", "b", "a", "b"]

    def test_after_the_step_that_ended_the_run_a_node_is_required(self, http: httpx.Client, counted: str) -> None:
        refused(post(http, counted, "fork"), 422, pointer="/node")
        refused(post(http, counted, "fork", {"step": 4}), 422, pointer="/node")
        run = until(http, fork(http, counted, {"node": "b"}), "completed")
        assert (run["state"]["n"], run["forked_from"]["step"]) == (5, 4)

    def test_of_a_fork_names_its_origin_and_begins_where_it_began(self, http: httpx.Client, counted: str) -> None:
        first = fork(http, counted, {"step": 1})
        until(http, first, "completed")
        second = until(http, fork(http, first, {"step": 0}), "completed")
        assert second["forked_from"] == {"run_id": first, "step": 0}
        assert [step["node"] for step in steps_of(http, second["run_id"])] == ["b", "a", "b"]

    def test_at_the_beginning_of_a_run_that_was_patched_then(self, http: httpx.Client) -> None:
        run_id = begin(http, graph("risky", "add"))
        until(http, run_id, "failed")
        moved(http, run_id, "resume", {"patch": {"ok": True}})
        until(http, run_id, "completed")
        assert until(http, fork(http, run_id, {"step": 0}), "failed")["current_node"] == "a"
        run = until(http, fork(http, run_id, {"step": 1}), "completed")
        assert [step["node"] for step in steps_of(http, run["run_id"])] == ["a", "b"]

    def test_at_the_beginning_of_a_run_without_steps(self, http: httpx.Client) -> None:
        run_id = begin(http, graph({"signal": "go"}))
        until(http, run_id, "waiting")
        moved(http, run_id, "cancel")
        until(http, fork(http, run_id), "waiting")
        other = begin(http, graph("add", {"signal": "go"}) | {"start_node": "b"})
        until(http, other, "waiting")
        assert until(http, fork(http, other, {"node": "a"}), "waiting", step=1)["state"] == {"n": 1}

    def test_without_the_counters_of_the_old_run(self, http: httpx.Client) -> None:
        run_id = begin(http, COUNT | {"max_steps": 2}, n=0, until=6)
        until(http, run_id, "paused")
        moved(http, run_id, "resume", {"max_steps": 3})
        until(http, run_id, "paused", step=3)
        assert until(http, fork(http, run_id), "paused")["step"] == 2


class TestStatuses:
    def test_of_a_waiting_run_without_its_mailbox(self, http: httpx.Client) -> None:
        document = graph("add", {"signal": "go"})
        document["nodes"]["never"] = {"signal": "other"}
        run_id = begin(http, document)
        until(http, run_id, "waiting")
        assert http.post(f"/runs/{run_id}/signals/other", json=1).status_code == 202
        new_id = fork(http, run_id)
        until(http, new_id, "waiting")
        assert http.post(f"/runs/{new_id}/signals/go", json=2).status_code == 202
        assert until(http, new_id, "completed")["state"] == {"n": 1, "go": 2}
        assert run_of(http, run_id)["status"] == "waiting"

    def test_of_a_failed_run_goes_on_where_it_failed(self, http: httpx.Client) -> None:
        run_id = begin(http, graph("add", "risky"))
        until(http, run_id, "failed")
        run = until(http, fork(http, run_id, {"patch": {"ok": True}}), "completed")
        assert run["state"] == {"n": 1, "ok": True, "done": True}
        assert run_of(http, run_id)["status"] == "failed"

    @pytest.mark.parametrize("call", ["pause", "cancel"])
    def test_of_a_paused_or_cancelled_run(self, http: httpx.Client, call: str) -> None:
        run_id = begin(http, graph("add", {"signal": "go"}))
        until(http, run_id, "waiting")
        moved(http, run_id, call)
        until(http, fork(http, run_id), "waiting")


class TestGraphs:
    def test_onto_another_graph(self, http: httpx.Client, counted: str) -> None:
        graph_id = create(http, COUNT | {"edges": {"b": "a"}})
        run = until(http, fork(http, counted, {"step": 1, "graph_id": graph_id}), "completed")
        assert (run["graph_id"], [step["node"] for step in steps_of(http, run["run_id"])]) == (graph_id, ["b", "a"])

    def test_whose_nodes_are_others(self, http: httpx.Client, counted: str) -> None:
        graph_id = create(http, {"start_node": "z", "nodes": {"z": "add"}})
        answer = post(http, counted, "fork", {"step": 1, "graph_id": graph_id})
        refused(answer, 422, pointer="/node", names="'b'")
        refused(post(http, counted, "fork", {"step": 1, "graph_id": graph_id, "node": "a"}), 422, pointer="/node")
        answer = post(http, counted, "fork", {"step": 1, "graph_id": graph_id, "node": "Z"})
        refused(answer, 422, pointer="/node", names="no node 'Z'; did you mean 'z'?")
        until(http, fork(http, counted, {"step": 1, "graph_id": graph_id, "node": "z"}), "completed")

    @pytest.mark.parametrize("graph_id", ["0" * 32, "x", "", "A" * 32, "☃" * 1000])
    def test_that_are_not_there(self, http: httpx.Client, counted: str, graph_id: str) -> None:
        refused(post(http, counted, "fork", {"step": 1, "graph_id": graph_id}), 422, pointer="/graph_id")


class TestFiles:
    def test_are_there_before_the_new_run_begins(self, live: Server, http: httpx.Client) -> None:
        run_id = begin(http, graph("leave", "look"))
        until(http, run_id, "completed")
        new_id = fork(http, run_id, {"step": 1})
        assert until(http, new_id, "completed")["state"]["found"] == [".draft", "deeper", "link.txt", "rows.txt"]
        assert http.get(f"/runs/{new_id}/files/rows.txt").text == "rows"
        # The link was one into the old run's folder.
        (live.runs_folder / new_id / "link.txt").write_text("others")
        assert http.get(f"/runs/{new_id}/files/rows.txt").text == "others"
        assert http.get(f"/runs/{run_id}/files/rows.txt").text == "rows"
        refused(http.get(f"/runs/{new_id}/files/link.txt"), 404)

    def test_where_there_are_none_there_is_no_folder(self, live: Server, http: httpx.Client, counted: str) -> None:
        new_id = fork(http, counted, {"step": 1})
        assert not (live.runs_folder / new_id).exists()

    def test_a_start_of_which_nothing_is_known_keeps_its_files(
        self, live: Server, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run_id = begin(http, graph("leave", "look"))
        until(http, run_id, "completed")
        before = set(live.runs_folder.iterdir())
        monkeypatch.setattr("service.api.routes.runs.forks.WRITE_WITHIN_S", 0.0)
        assert post(http, run_id, "fork", {"step": 1}).status_code == 503
        (left,) = set(live.runs_folder.iterdir()) - before
        assert sorted(file.name for file in left.iterdir()) == [".draft", "deeper", "link.txt", "rows.txt"]

    @pytest.mark.parametrize(
        ("error", "status", "says"),
        [
            (OSError(errno.ENOSPC, "No space left on device", "parts/1.csv"), 503, "'parts/1.csv'"),
            (PermissionError(errno.EACCES, "Permission denied", "secret"), 409, "'secret'"),
            (OSError(errno.EIO, "Input/output error"), 503, "folder"),
        ],
    )
    def test_that_cannot_be_copied_are_named_and_no_run_is_started(
        self, live: Server, http: httpx.Client, monkeypatch: pytest.MonkeyPatch, error: OSError, status: int, says: str
    ) -> None:
        run_id = begin(http, graph("leave", "look"))
        until(http, run_id, "completed")
        before = live.tables()

        def failing(*_: object) -> None:
            raise error

        monkeypatch.setattr("service.api.routes.runs.forks.copy_folder", failing)
        refused(post(http, run_id, "fork", {"step": 1}), status, names=says)
        assert live.tables() == before


def test_the_example_follows_a_patched_threshold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dirty.csv").write_text(as_csv(dirty_table()))
    monkeypatch.setattr("service.example.reading.source.DATASETS", {"planes": tmp_path / "dirty.csv"})
    with executing(tmp_path, tools=example.TOOLS) as server, server.client() as client:
        source = {"kind": "dataset", "name": "planes"}
        run_id = begin(client, example.GRAPH, **example.initial_state(source, 0, {"allow": ["fill"]}))
        whole = until(client, run_id, "completed", within_s=60)
        assert (whole["state"]["stopped_because"], whole["state"]["anomaly_count"]) == ("threshold_met", 0)
        # After the second round's profile: the next step asks the threshold.
        at = [step["step"] for step in steps_of(client, run_id) if step["node"] == "profile"][1]
        before = rows_about(server, {run_id})
        new_id = fork(client, run_id, {"step": at, "patch": {"threshold": 10_000}})
        run = until(client, new_id, "completed", within_s=60)
        assert [step["node"] for step in steps_of(client, new_id)] == ["detect"]
        assert run["state"]["stopped_because"] == "threshold_met"
        assert 0 < run["state"]["anomaly_count"] <= 10_000
        after = rows_about(server, {run_id})
        assert [row for row in after["runs"] if new_id not in row] == before["runs"]
        assert all(after[name] == before[name] for name in before.keys() - {"runs"})


class TestBadCalls:
    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ([], ""),
            ({"step": None}, "/step"),
            ({"step": -1}, "/step"),
            ({"step": 1.0}, "/step"),
            ({"step": True}, "/step"),
            ({"step": "1"}, "/step"),
            ({"step": 2**63}, "/step"),
            ({"patch": None}, "/patch"),
            ({"patch": [1]}, "/patch"),
            ({"patch": deep(101)}, "/patch" + "/k" * 100),
            ({"graph_id": None}, "/graph_id"),
            ({"graph_id": 1}, "/graph_id"),
            ({"step": 1, "node": None}, "/node"),
            ({"step": 1, "node": 1}, "/node"),
            ({"step": 1, "node": ""}, "/node"),
            ({"step": 1, "node": "A"}, "/node"),
            ({"steps": 1}, "/steps"),
            ({"tags": {}}, "/tags"),
        ],
    )
    def test_bodies(self, live: Server, http: httpx.Client, counted: str, body: Any, pointer: str) -> None:
        before = live.tables()
        refused(post(http, counted, "fork", body), 422, pointer=pointer)
        assert live.tables() == before

    @pytest.mark.parametrize("step", [5, 2**63 - 1])
    def test_a_step_past_the_last(self, http: httpx.Client, counted: str, step: int) -> None:
        refused(post(http, counted, "fork", {"step": step, "node": "a"}), 404)

    @pytest.mark.parametrize("unknown", [UNKNOWN, "x", "%00"])
    def test_unknown_and_malformed_ids(self, http: httpx.Client, unknown: str) -> None:
        refused(http.post(f"/runs/{unknown}/fork"), 404)

    def test_a_patch_that_makes_the_state_too_large(self, tmp_path: Path) -> None:
        with executing(tmp_path, ApiSettings(state_bytes_max=100)) as server, server.client() as client:
            run_id = begin(client, graph("add", "add"))
            until(client, run_id, "completed")
            refused(post(client, run_id, "fork", {"step": 1, "patch": {"x": "y" * 100}}), 422, pointer="/patch")
            until(client, fork(client, run_id, {"step": 1, "patch": {"x": "y" * 50}}), "completed")
