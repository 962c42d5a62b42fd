"""Schedules over HTTP: set, shown, listed, paused, triggered and deleted, and what is refused."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.api.harness import Server, eventually
from tests.support.store.harness import sql

GRAPH = {"name": "scheduled", "start_node": "a", "nodes": {"a": "add"}}
BODY = {"graph": "scheduled", "cron": "30 2 * * *", "timezone": "Europe/Berlin", "initial_state": {"n": 1}}


@pytest.fixture(autouse=True)
def graph_id(client: httpx.Client) -> str:
    created: str = client.post("/graph/create", json=GRAPH).json()["graph_id"]
    return created


def test_a_schedule_is_set_shown_and_set_again(client: httpx.Client, graph_id: str) -> None:
    answer = client.put("/schedules/nightly", json=BODY)
    assert answer.status_code == 201
    schedule = answer.json()
    assert {name: schedule[name] for name in BODY} == BODY
    assert (schedule["overlap"], schedule["catch_up"], schedule["paused"]) == ("skip", "one", False)
    assert schedule["last_run_id"] is None
    assert len(schedule["next"]) == 5
    assert sorted(set(schedule["next"])) == schedule["next"]
    assert {each[10:] for each in schedule["next"]} <= {"T00:30:00.000Z", "T01:30:00.000Z", "T01:00:00.000Z"}
    assert client.get("/schedules/nightly").json() == schedule
    again = client.put("/schedules/nightly", json={"graph_id": graph_id, "every_s": 60.5, "tags": {"a": "b"}})
    assert again.status_code == 200
    assert {again.json()[name] for name in ("graph", "cron")} == {None}
    assert (again.json()["every_s"], again.json()["initial_state"], again.json()["tags"]) == (60.5, {}, {"a": "b"})


def test_schedules_are_listed_by_name(client: httpx.Client) -> None:
    for name in ("list b", "list a", "list ü"):
        assert client.put(f"/schedules/{name}", json=BODY).status_code == 201
    listed = client.get("/schedules").json()
    names = [each["name"] for each in listed["items"] if each["name"].startswith("list")]
    assert names == ["list a", "list b", "list ü"]
    assert listed["items"][0] == client.get(f"/schedules/{listed['items'][0]['name']}").json()
    page = client.get("/schedules", params={"limit": 1}).json()
    assert len(page["items"]) == 1
    rest = client.get("/schedules", params={"cursor": page["next_cursor"]}).json()
    assert page["items"] + rest["items"] == listed["items"]


def test_a_schedule_in_a_zone_that_this_server_does_not_know_is_shown(client: httpx.Client, server: Server) -> None:
    next_at = client.put("/schedules/far", json=BODY).json()["next_at"]
    with sql(server.database) as session:
        session.execute("UPDATE schedules SET timezone = 'Mars/Olympus' WHERE name = 'far'")
    assert client.get("/schedules/far").json()["next"] == [next_at]
    assert client.get("/schedules").status_code == 200
    assert client.post("/schedules/far/pause").status_code == 202
    assert client.post("/schedules/far/resume").status_code == 409
    assert client.post("/schedules/far/trigger").status_code == 202
    assert client.delete("/schedules/far").status_code == 204


def test_a_trigger_and_a_pause(server: Server, client: httpx.Client) -> None:
    client.put("/schedules/steered", json=BODY)
    paused = client.post("/schedules/steered/pause")
    assert (paused.status_code, paused.json()["paused"], paused.json()["next"]) == (202, True, [])
    triggered = client.post("/schedules/steered/trigger")
    assert triggered.status_code == 202
    run_id = triggered.json()["run_id"]
    assert triggered.headers["location"] == f"/graph/state/{run_id}"
    for path in (f"/runs/{run_id}", f"/graph/state/{run_id}"):
        assert client.get(path).json()["schedule"] == {"name": "steered", "tick": None}
    assert client.get("/runs", params={"id_prefix": run_id}).json()["items"][0]["schedule"]["name"] == "steered"
    assert client.get("/schedules/steered").json()["last_run_id"] == run_id
    resumed = client.post("/schedules/steered/resume", json={})
    assert (resumed.json()["paused"], len(resumed.json()["next"])) == (False, 5)
    assert client.get(f"/runs/{server.start(client)}").json()["schedule"] is None
    assert client.delete("/schedules/steered").status_code == 204
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        *(("POST", f"/{each}") for each in ("pause", "resume", "trigger")),
    ):
        assert client.request(method, f"/schedules/steered{path}").status_code == 404
    assert client.get(f"/runs/{run_id}").json()["schedule"]["name"] == "steered"


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"graph": None, "cron": None}, ["/graph", "/cron"]),
        ({"graph": ""}, ["/graph"]),
        ({"graph_id": "a" * 32}, ["/graph"]),
        ({"every_s": 1}, ["/every_s"]),
        ({"cron": "61 * * * *", "timezone": "Berlin"}, ["/cron", "/timezone"]),
        ({"timezone": "../../etc/passwd"}, ["/timezone"]),
        ({"overlap": "stop", "catch_up": "some"}, ["/overlap", "/catch_up"]),
        ({"tags": {"a": 1}, "initial_state": []}, ["/initial_state", "/tags/a"]),
        ({"overlp": "skip"}, ["/overlp"]),
        ({"timezone": "a\0"}, ["/timezone"]),
    ],
)
def test_a_faulty_schedule_is_refused(client: httpx.Client, changes: dict[str, Any], pointers: list[str]) -> None:
    answer = client.put("/schedules/faulty", json=BODY | changes)
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == pointers
    assert client.get("/schedules/faulty").status_code == 404


@pytest.mark.parametrize("every_s", [0, -1, 0.09, 1e12, True, "1"])
def test_an_interval_out_of_bounds_is_refused(client: httpx.Client, every_s: Any) -> None:
    answer = client.put("/schedules/faulty", json={"graph": "scheduled", "every_s": every_s})
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/every_s"]


def test_what_there_is_not(client: httpx.Client) -> None:
    assert client.put("/schedules/faulty", json=BODY | {"graph": "no such"}).status_code == 404
    assert client.put("/schedules/faulty", json={"graph_id": "x", "every_s": 1}).status_code == 404
    assert client.put("/schedules/" + "x" * 201, json=BODY).json()["errors"][0]["pointer"] == "/name"
    assert client.put("/schedules/a%0Ab", json=BODY).status_code == 422
    assert client.put("/schedules/%ff", json=BODY).status_code == 422
    assert client.get("/schedules/" + "x" * 201).status_code == 404
    assert client.get("/schedules", params={"cursor": "a\nb"}).status_code == 422


def test_a_server_with_an_engine_starts_the_runs(http: httpx.Client) -> None:
    http.post("/graph/create", json=GRAPH)
    http.put("/schedules/often", json={"graph": "scheduled", "every_s": 0.1, "initial_state": {"n": 0}})
    eventually(
        lambda: len(http.get("/runs", params={"graph": "scheduled", "status": "completed"}).json()["items"]) >= 3
    )
    http.delete("/schedules/often")
    runs = http.get("/runs", params={"graph": "scheduled"}).json()["items"]
    ticks = [each["schedule"]["tick"] for each in runs]
    assert len(set(ticks)) == len(ticks)
    assert {each["schedule"]["name"] for each in runs} == {"often"}
