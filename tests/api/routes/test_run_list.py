"""Lists of runs, their counts, and actions on all that match a filter."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.api.executing import UNKNOWN, begin, create, graph, refused, until

APPROVAL = graph({"signal": "ok"}, name="list-approval")


def ids(client: httpx.Client, **query: Any) -> list[str]:
    answer = client.get("/runs", params={"graph": "list-approval", **query})
    assert answer.status_code == 200, answer.text
    return [item["run_id"] for item in answer.json()["items"]]


@pytest.fixture(scope="module")
def waiting(http: httpx.Client) -> list[str]:
    """Three runs that wait, the oldest first."""
    found = [begin(http, APPROVAL, n=number) for number in range(3)]
    for run_id in found:
        until(http, run_id, "waiting")
    return found


def test_items_show_what_a_list_needs(http: httpx.Client, waiting: list[str]) -> None:
    item = http.get("/runs", params={"id_prefix": waiting[0]}).json()["items"][0]
    assert item["run_id"] == waiting[0]
    assert item["graph_name"] == "list-approval"
    assert item["waiting_for"] == {"kind": "signal", "name": "ok"}
    assert isinstance(item["duration_ms"], int)
    assert item["children"] == 0
    assert "state" not in item
    assert "logs" not in item


def test_filters_narrow_the_list(http: httpx.Client, waiting: list[str]) -> None:
    newest = waiting[::-1]
    run = http.get(f"/runs/{waiting[1]}").json()
    assert ids(http) == newest
    assert ids(http, status=["waiting", "failed"]) == newest
    assert ids(http, status="completed") == []
    assert ids(http, tag=["team:data", "!team:web"]) == newest
    assert ids(http, tag="!team:data") == []
    assert ids(http, parent_id="none") == newest
    assert ids(http, parent_id=waiting[0]) == []
    assert ids(http, forked_from=waiting[0]) == []
    assert ids(http, waiting_for="signal") == newest
    assert ids(http, waiting_for="sleep") == []
    assert waiting[0] not in ids(http, created_after=run["created_at"])
    assert waiting[2] not in ids(http, created_before=run["created_at"])
    assert ids(http, created_after="1970-01-01", created_before="9999-12-31T23:59:59.999999") == newest
    assert ids(http, created_after="0001-01-01T00:00:00+14:00", created_before="9999-12-31T23:59:59-14:00") == newest
    assert ids(http, created_before="0001-01-01T00:00:00+14:00") == []
    assert ids(http, id_prefix=waiting[2]) == [waiting[2]]
    assert ids(http, graph="none") == []
    assert ids(http, graph_id=run["graph_id"]) == newest


@pytest.mark.parametrize(
    ("query", "status", "pointer"),
    [
        ("status=waiting&status=odd", 422, "/status"),
        ("tag=no-colon", 422, "/tag"),
        ("tag=!no-colon", 422, "/tag"),
        ("waiting_for=nothing", 422, "/waiting_for"),
        ("created_after=yesterday", 422, "/created_after"),
        ("created_before=", 422, "/created_before"),
        ("id_prefix=019", 422, "/id_prefix"),
        ("id_prefix=ABCD", 422, "/id_prefix"),
        ("graph=%00", 422, "/graph"),
        ("graph=a&graph=b", 422, "/graph"),
        ("parent=none", 422, "/parent"),
        ("cursor=x", 422, "/cursor"),
        (f"parent_id={UNKNOWN}", 404, None),
        (f"forked_from={UNKNOWN}", 404, None),
        ("parent_id=odd", 404, None),
        ("forked_from=none", 404, None),
        ("graph_id=odd", 404, None),
        ("&".join(f"tag=k:{number}" for number in range(21)), 422, "/tag"),
    ],
)
def test_a_faulty_filter_is_refused(client: httpx.Client, query: str, status: int, pointer: str | None) -> None:
    for path in ("/runs", "/runs/counts"):
        if path == "/runs" or "cursor" not in query:
            refused(client.get(f"{path}?{query}"), status, pointer=pointer)


def test_counts_are_by_status_and_capped(http: httpx.Client, waiting: list[str]) -> None:
    answer = http.get("/runs/counts", params={"graph": "list-approval"}).json()
    assert answer["capped_at"] == 1000
    assert answer["counts"]["waiting"] == len(waiting)
    assert set(answer["counts"]) == {"queued", "running", "waiting", "paused", "completed", "failed", "cancelled"}
    assert (
        http.get("/runs/counts", params={"graph": "list-approval", "status": "failed"}).json()["counts"]["waiting"] == 0
    )
    refused(http.get("/runs/counts?limit=1"), 422, pointer="/limit")


def test_an_action_moves_all_that_match_oldest_first(http: httpx.Client) -> None:
    document = graph({"signal": "go"}, name="acted-on")
    runs = [begin(http, document) for _ in range(3)]
    for run_id in runs:
        until(http, run_id, "waiting")
    where: dict[str, Any] = {"graph": "acted-on"}

    def act(action: str, **options: Any) -> Any:
        answer = http.post("/runs/actions", json={"action": action, "where": where, **options})
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert act("pause", dry_run=True) == {"matched": 3, "done": 0, "refused": [], "more": False}
    assert http.get(f"/runs/{runs[0]}").json()["status"] == "waiting"
    assert act("pause", limit=1) == {"matched": 1, "done": 1, "refused": [], "more": True}
    assert http.get(f"/runs/{runs[0]}").json()["status"] == "paused"
    answer = act("resume")
    assert (answer["matched"], answer["done"]) == (3, 1)
    assert {each["run_id"] for each in answer["refused"]} == set(runs[1:])
    assert all("waiting" in each["reason"] for each in answer["refused"])
    where = {"graph": "acted-on", "status": ["waiting", "paused"], "tag": "team:data"}
    assert act("cancel") == {"matched": 3, "done": 3, "refused": [], "more": False}
    assert act("cancel") == {"matched": 0, "done": 0, "refused": [], "more": False}


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"action": "cancel"}, 422, "/where"),
        ({"action": "cancel", "where": {}}, 422, "/where"),
        ({"action": "cancel", "where": {"status": []}}, 422, "/where/status"),
        ({"action": "cancel", "where": {"status": "odd"}}, 422, "/where/status/0"),
        ({"action": "cancel", "where": {"graph": None}}, 422, "/where/graph"),
        ({"action": "cancel", "where": {"stat": "queued"}}, 422, "/where/stat"),
        ({"action": "cancel", "where": {"tag": "odd"}}, 422, "/where/tag"),
        ({"action": "cancel", "where": {"waiting_for": "odd"}}, 422, "/where/waiting_for"),
        ({"action": "cancel", "where": {"created_after": "odd"}}, 422, "/where/created_after"),
        ({"action": "cancel", "where": {"id_prefix": "01"}}, 422, "/where/id_prefix"),
        ({"action": "cancel", "where": {"graph_id": "odd"}}, 404, None),
        ({"action": "cancel", "where": {"parent_id": UNKNOWN}}, 404, None),
        ({"action": "stop", "where": {"status": "queued"}}, 422, "/action"),
        ({"action": "cancel", "where": {"status": "queued"}, "limit": 0}, 422, "/limit"),
        ({"action": "cancel", "where": {"status": "queued"}, "limit": 1001}, 422, "/limit"),
        ({"action": "cancel", "where": {"status": "queued"}, "dry_run": 1}, 422, "/dry_run"),
    ],
)
def test_a_faulty_action_is_refused(client: httpx.Client, body: Any, status: int, pointer: str | None) -> None:
    refused(client.post("/runs/actions", json=body), status, pointer=pointer)


def test_the_paths_of_lists_take_no_other_method(client: httpx.Client) -> None:
    assert client.get("/runs/actions").status_code == 405
    assert client.post("/runs/counts").status_code == 405


def test_one_run_has_its_state_and_links(http: httpx.Client, waiting: list[str]) -> None:
    run = http.get(f"/runs/{waiting[0]}").json()
    stated = http.get(f"/graph/state/{waiting[0]}").json()
    del stated["logs"]
    more = ("schedule", "priority", "graph_name", "waiting_for", "links")
    assert {name: value for name, value in run.items() if name not in more} == stated
    assert run["waiting_for"] == {"kind": "signal", "name": "ok"}
    for name in set(run["links"]) - {"page", "events"}:
        assert http.get(run["links"][name]).status_code == 200, name
    refused(http.get(f"/runs/{UNKNOWN}"), 404)
    refused(http.get("/runs/odd"), 404)
    refused(http.get(f"/runs/{waiting[0]}?limit=1"), 422, pointer="/limit")


def test_a_run_without_a_graph_of_that_name_is_no_error(client: httpx.Client) -> None:
    create(client, {"name": "empty", "start_node": "a", "nodes": {"a": "add"}})
    assert client.get("/runs?graph=empty").json() == {"items": [], "next_cursor": None}
