"""The four examples, each run to its end by a real server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.docs.preparing import EXAMPLES
from tests.support.system.process import Server


@pytest.fixture(scope="module")
def orders(server: Server) -> list[str]:
    """Two orders, which wait for their approval while other tests go on."""
    return [begin(server, "order_approval", price=20) for _ in range(2)]


@pytest.fixture(scope="module", autouse=True)
def approved(server: Server, orders: list[str]) -> None:
    """The first order is approved, the second is not; the bank takes its time meanwhile."""
    for run_id, granted in zip(orders, (True, False), strict=True):
        signal(server, run_id, granted)


def begin(server: Server, example: str, **state: Any) -> str:
    """Post the graphs of an example, as its README says, and start a run; its id."""
    folder = CHECKOUT / "examples" / example
    for child in sorted(set(folder.glob("*.json")) - {folder / "graph.json"}):
        server.create(json.loads(child.read_text()))
    return server.run(server.create(json.loads((folder / "graph.json").read_text())), **state)


def signal(server: Server, run_id: str, granted: bool) -> None:
    server.follow(run_id, until=["waiting"])
    assert server.call("POST", f"/runs/{run_id}/signals/approval", json={"granted": granted}).status_code == 202


def nodes(server: Server, run_id: str) -> list[str]:
    return [step["node"] for step in server.call("GET", f"/runs/{run_id}/steps").json()["items"]]


def test_first_steps(server: Server) -> None:
    run_id = begin(server, "first_steps", number=2)
    run = server.follow(run_id)
    assert (run["status"], run["state"]["root"]) == ("completed", 1.414214)
    assert nodes(server, run_id) == ["guess", *["improve"] * 4, "report"]
    assert server.follow(begin(server, "first_steps", number=-1))["status"] == "failed"


def test_etl_with_retries(server: Server) -> None:
    run_id = begin(server, "etl_with_retries")
    run = server.follow(run_id)
    assert (run["status"], run["state"]["row_count"], run["state"]["skipped"]) == ("completed", 4, [4])
    assert nodes(server, run_id) == ["list", "pages", "load", "warn"]
    assert run["logs"][-3]["data"] == {"pages": [4]}
    table = server.call("GET", f"/runs/{run_id}/files/table.csv").text.splitlines()
    assert table == ["city,celsius", "Oslo,4", "Bergen,7", "Turku,-1", "Lund,6"]


@pytest.mark.parametrize(("granted", "answer"), [(True, "refund 20.00"), (False, "a colleague will call")])
def test_agent_loop(server: Server, granted: bool, answer: str) -> None:
    run_id = begin(server, "agent_loop", order_id="A-17")
    signal(server, run_id, granted)
    run = server.follow(run_id)
    assert (run["status"], answer in run["state"]["answer"]) == ("completed", True)
    paid = ["pay"] if granted else []
    whole = ["think", "look_up", "think", "calculate", "think", "approve", *paid, "think", "answer"]
    assert nodes(server, run_id) == whole


def test_order_approval(server: Server, orders: list[str]) -> None:
    charged, released = (server.follow(run_id)["state"] for run_id in orders)
    assert (charged["charged"], charged["receipt"]) == (20, f"{orders[0]}:3")
    assert (released["reserved"], "charged" in released) == (False, False)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_readme_of_an_example_is_short_and_names_its_files(example: str) -> None:
    folder = CHECKOUT / "examples" / example
    text = (folder / "README.md").read_text()
    assert len(text.splitlines()) <= 12
    for file in folder.glob("*.json"):
        assert file.name in text
