"""A real server and a real cluster: runs on it, what the log and `why` say of it, and who takes what it cannot do."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from service.core.errors import StartRefused
from service.settings import Settings
from tests.support.engine.calls import is_alive, until_dead
from tests.support.engine.cluster import dask
from tests.support.system.process import Server, serving, until

TOOLS = """
import os, time
from service import tool

@tool
def square(state, context):
    context.log("squaring", item=state["item"])
    return {"square": state["item"] ** 2}

@tool
def hold(context, metadata):
    context.log("holding", pid=os.getpid())
    while not os.path.exists(metadata["until"]):
        time.sleep(0.01)
    (context.folder / "done.txt").write_text("done")
    return {"done": True}
"""


def on_cluster(tool: str, **options: Any) -> dict[str, Any]:
    return {"start_node": "a", "nodes": {"a": {"tool": tool, "on": "cluster", **options}}}


def lines(server: Server, run_id: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = server.call("GET", f"/runs/{run_id}/logs").json()["items"]
    return items


def why(server: Server, run_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = server.call("GET", f"/runs/{run_id}/why").json()
    return answer


def held(server: Server, run_id: str, attempt: int = 1) -> int:
    """The process that holds, of that attempt."""

    def found() -> list[int]:
        said = [line for line in lines(server, run_id) if line["message"] == "holding" and line["attempt"] == attempt]
        return [line["data"]["pid"] for line in said]

    until(found)
    return found()[0]


def test_runs_go_on_a_cluster_whatever_dies(tmp_path: Path) -> None:
    (tmp_path / "heavy.py").write_text(TOOLS)
    with dask(tmp_path, "one") as cluster:
        settings = {"RUNGRAPH_CLUSTER": cluster.address, "RUNGRAPH_LEASE_SECONDS": "1"}
        with serving(tmp_path, tools=[tmp_path / "heavy.py"], **settings) as server:
            spread_over_elements(server)
            run_id = server.run(server.create(on_cluster("hold", metadata={"until": str(tmp_path / "go")})))
            pid = held(server, run_id)
            explained = why(server, run_id)
            assert "on the worker one (tcp://127.0.0.1:" in explained["because"]
            assert explained["worker"]["name"] == "one"

            cluster.kill_worker("one")
            until_dead(pid)
            cluster.start_worker("two")
            second = held(server, run_id, attempt=2)
            tried = why(server, run_id)["attempts"]
            assert [attempt["error"]["type"] for attempt in tried] == ["worker_lost"]
            server.kill()
            until_dead(second)

        with serving(tmp_path, tools=[tmp_path / "heavy.py"], **settings) as server:
            third = held(server, run_id, attempt=3)
            cluster.kill_scheduler()
            until_dead(third)
            until(lambda: "waits for the cluster tcp://127.0.0.1:" in why(server, run_id)["because"])
            assert server.call("GET", f"/graph/state/{run_id}").json()["status"] == "running"
            cluster.start_scheduler()
            cluster.start_worker("three")
            assert is_alive(held(server, run_id, attempt=4))
            (tmp_path / "go").touch()
            ended = server.follow(run_id)
            assert (ended["status"], ended["state"], ended["step"]) == ("completed", {"done": True}, 1)
            assert server.call("GET", f"/runs/{run_id}/files/done.txt").text == "done"
            assert [line["seq"] for line in lines(server, run_id)] == [*range(1, ended["last_seq"] + 1)]


def spread_over_elements(server: Server) -> None:
    """Results come back in the order of the elements."""
    node = {"graph": server.create(on_cluster("square")), "for_each": "items", "into": "squares"}
    graph_id = server.create({"start_node": "m", "nodes": {"m": node}})
    joined = server.follow(server.run(graph_id, items=[*range(20)]))
    assert [each["square"] for each in joined["state"]["squares"]] == [number**2 for number in range(20)]


def test_a_cluster_of_this_machine_ends_with_its_server(tmp_path: Path) -> None:
    (tmp_path / "heavy.py").write_text(TOOLS)
    local = {"tools": [tmp_path / "heavy.py"], "RUNGRAPH_CLUSTER": "local"}
    with serving(tmp_path, **local) as server:
        ended = server.follow(server.run(server.create(on_cluster("square")), item=3))
        assert ended["state"] == {"item": 3, "square": 9}
        begun = descendants(server.process.pid)
        assert len(begun) >= 3  # The scheduler, a worker and a tool's process.
        assert server.stop() == 0
    until_dead(*begun)


def test_a_cluster_of_this_machine_ends_with_a_killed_command(tmp_path: Path) -> None:
    (tmp_path / "heavy.py").write_text(TOOLS)
    document = on_cluster("hold", metadata={"until": str(tmp_path / "never")})
    (tmp_path / "graph.json").write_text(json.dumps(document))
    command = ("run", "graph.json")
    made = Server(tmp_path, tools=[tmp_path / "heavy.py"], what=command, RUNGRAPH_CLUSTER="local")
    made.launch()
    try:
        assert made.process.stdout is not None
        assert any("holding" in line for line in made.process.stdout)
        begun = descendants(made.process.pid)
        assert len(begun) >= 3
    finally:
        made.kill()
    until_dead(*begun)


def descendants(pid: int) -> list[int]:
    """Return the processes that this one and its descendants have started."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # It has ended.
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


def test_a_server_without_a_cluster_refuses_such_graphs_and_leaves_such_runs(tmp_path: Path) -> None:
    tools = tmp_path / "heavy.py"
    tools.write_text(TOOLS)
    document = on_cluster("square")
    with serving(
        tmp_path, tools=[tools], RUNGRAPH_CLUSTER="127.0.0.1:9", what=("serve", "--port", "0", "--no-engine")
    ) as server:
        run_id = server.run(server.create(document), item=2)
    with serving(tmp_path, tools=[tools]) as server:
        refused = server.call("POST", "/graph/create", json=document)
        assert refused.status_code == 422
        assert [fault["pointer"] for fault in refused.json()["errors"]] == ["/nodes/a/on"]
        until(lambda: "for a server that has a cluster" in why(server, run_id)["because"])
        assert "runs in flight need tools that this server lacks" in server.said


@pytest.mark.parametrize("wrong", ["nowhere", "tcp://", "local cluster:1", "tcp://a/b:1"])
def test_a_wrong_address_stops_the_start(wrong: str) -> None:
    with pytest.raises(
        StartRefused, match=r"RUNGRAPH_CLUSTER is .*; it takes an address such as tcp://scheduler:8786, or"
    ):
        Settings.from_environment({"RUNGRAPH_CLUSTER": wrong})


@pytest.mark.parametrize("right", ["local", "scheduler:8786", "tcp://10.0.0.1:8786", "tls://[::1]:8786", "wss://a/b"])
def test_an_address_is_one_that_dask_takes(right: str) -> None:
    assert Settings.from_environment({"RUNGRAPH_CLUSTER": right}).cluster == right
