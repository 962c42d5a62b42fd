"""Delete a run and prune runs over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from service.api.folders.deleting import finish
from tests.support.api.harness import COUNT, Server

GONE = "00000000-0000-7000-8000-000000000000"


def ended(server: Server, client: httpx.Client) -> str:
    run_id = server.start(client)
    server.drive(run_id).finish()
    return run_id


def test_a_deleted_run_is_gone_with_its_files(server: Server, client: httpx.Client) -> None:
    run_id = ended(server, client)
    folder = server.runs_folder / run_id
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    deleted = client.delete(f"/runs/{run_id}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    paths = ("", "/steps", "/state", "/logs", "/files", "/files/a.txt", "/keys", "/signals", "/why", "/path", "/events")
    for path in (f"/graph/state/{run_id}", *(f"/runs/{run_id}{path}" for path in paths)):
        assert client.get(path).status_code == 404, path
    for action in ("cancel", "pause", "resume", "fork"):
        assert client.post(f"/runs/{run_id}/{action}", json={}).status_code == 404, action
    assert run_id not in [each["run_id"] for each in client.get("/runs").json()["items"]]
    assert client.delete(f"/runs/{run_id}").status_code == 404
    server.do(finish(server.services.store, server.runs_folder))
    assert not folder.exists()
    assert client.delete(f"/runs/{run_id}").status_code == 404


def test_a_run_that_is_not_over_or_has_a_fork_is_kept(server: Server, client: httpx.Client) -> None:
    run_id = server.start(client)
    refused = client.delete(f"/runs/{run_id}")
    assert (refused.status_code, refused.json()["detail"]) == (409, "the run is queued")
    server.drive(run_id).finish()
    fork = client.post(f"/runs/{run_id}/fork", json={"step": 0}).json()["run_id"]
    refused = client.delete(f"/runs/{run_id}")
    assert (refused.status_code, "fork" in refused.json()["detail"]) == (409, True)
    assert client.post(f"/runs/{fork}/cancel").status_code == 202
    assert client.delete(f"/runs/{fork}").status_code == 204
    assert client.delete(f"/runs/{run_id}").status_code == 204


def test_the_key_of_a_deleted_run_starts_another_run(server: Server, client: httpx.Client) -> None:
    body, key = (
        {
            "graph_id": client.post("/graph/create", json=COUNT).json()["graph_id"],
            "initial_state": {"n": 0, "until": 1},
        },
        {"Idempotency-Key": "again"},
    )
    first = client.post("/graph/run", json=body, headers=key).json()["run_id"]
    server.drive(first).finish()
    assert client.post("/graph/run", json=body, headers=key).json() == {"run_id": first}
    assert client.delete(f"/runs/{first}").status_code == 204
    second = client.post("/graph/run", json=body, headers=key)
    assert (second.status_code, second.json()["run_id"] == first) == (202, False)


@pytest.mark.parametrize("path", [f"/runs/{GONE}", "/runs/x"])
def test_an_unknown_run_is_not_found(client: httpx.Client, path: str) -> None:
    assert client.delete(path).status_code == 404


def test_a_prune_deletes_what_ended_long_ago(server: Server, client: httpx.Client) -> None:
    document = {**COUNT, "name": "pruned"}
    run_ids = [server.start(client, document) for _ in range(3)]
    server.drive(run_ids[0]).finish()
    for run_id in run_ids[1:2]:
        client.post(f"/runs/{run_id}/cancel")
    rule = {"older_than_s": 0, "graph": "pruned"}

    def prune(**more: Any) -> dict[str, Any]:
        answer = client.post("/runs/prune", json=rule | more)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    assert prune(older_than_s=3600)["matched"] == 0
    assert prune(dry_run=True) == {"matched": 2, "done": 0, "next_cursor": None}
    assert prune(status="failed")["matched"] == 0
    assert prune(keep_last=3)["matched"] == 0
    assert prune(keep_last=2, status=["completed", "failed"])["done"] == 1
    assert prune() == {"matched": 1, "done": 1, "next_cursor": None}
    assert [each["run_id"] for each in client.get("/runs?graph=pruned").json()["items"]] == run_ids[2:]


@pytest.mark.parametrize(
    "body",
    [{}, {"older_than_s": -1}, {"older_than_s": 1, "status": "queued"}, {"older_than_s": 1, "cursor": "x"}, {"a": 1}],
)
def test_a_faulty_rule_is_refused(client: httpx.Client, body: dict[str, Any]) -> None:
    assert client.post("/runs/prune", json=body).status_code == 422


def test_a_rule_is_only_posted(client: httpx.Client) -> None:
    assert client.get("/runs/prune").status_code == 405
