"""The example `order_approval`: its server is killed in each state that an order goes through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.postgres import Databases
from tests.support.system.process import Server

EXAMPLE = CHECKOUT / "examples/order_approval"


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    settings = {"RUNGRAPH_LEASE_SECONDS": "1"}
    if request.param == "postgres":
        databases: Databases = request.getfixturevalue("postgres")
        settings["RUNGRAPH_DATABASE_URL"] = databases.empty()
    server = Server(tmp_path, tools=[EXAMPLE / "tools.py"], **settings).start()
    yield server
    server.kill()


def killed(server: Server) -> None:
    server.kill()
    server.start()


def ordered(server: Server) -> str:
    return server.run(server.create(json.loads((EXAMPLE / "graph.json").read_text())), price=20)


def approve(server: Server, run_id: str, granted: bool) -> None:
    assert server.call("POST", f"/runs/{run_id}/signals/approval", json={"granted": granted}).status_code == 202


def test_an_order_survives_a_kill_in_each_of_its_states(server: Server) -> None:
    run_id = ordered(server)
    server.follow(run_id, until=["waiting"])
    killed(server)
    why = server.call("GET", f"/runs/{run_id}/why").json()
    assert (why["status"], why["waiting_for"]) == ("waiting", {"kind": "signal", "name": "approval"})
    approve(server, run_id, granted=True)
    server.follow(run_id, until=["running"])
    server.follow(run_id, until=["waiting"])
    killed(server)  # In its backoff, which a start on a busy machine may outlast.
    server.follow(run_id, until=["running", "completed"])
    killed(server)
    run = server.follow(run_id)
    assert run["status"] == "completed"
    assert "step_retrying" in [line["event"] for line in run["logs"]]
    assert run["state"] == {
        "price": 20,
        "reserved": True,
        "approval": {"granted": True},
        "charged": 20,
        "receipt": f"{run_id}:3",
    }
    steps = server.call("GET", f"/runs/{run_id}/steps").json()["items"]
    assert [(step["step"], step["node"], step["decision"]["reason"]) for step in steps] == [
        (1, "reserve", "unconditional"),
        (2, "approve", "condition"),
        (3, "charge", "no_edges"),
    ]
    errors = [attempt["error"] and attempt["error"]["type"] for attempt in steps[2]["attempts"]]
    assert errors == ["tool_error", "server_lost", None]
    assert [line["seq"] for line in run["logs"]] == list(range(1, run["last_seq"] + 1))


def test_an_order_that_is_not_approved_is_released(server: Server) -> None:
    run_id = ordered(server)
    approve(server, run_id, granted=False)
    run = server.follow(run_id)
    assert (run["status"], run["state"]["reserved"]) == ("completed", False)
    assert "charged" not in run["state"]
