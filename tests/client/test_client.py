"""The clients: every call, errors, and what happens when a connection breaks."""

from __future__ import annotations

import inspect
import pickle
import socket
from typing import Any

import pytest

from rungraph import ApiError, AsyncClient, Client, ServerUnreachable
from tests.support.api.executing import UNKNOWN, graph
from tests.support.api.harness import Server
from tests.support.client.breaking import breaking

ADD = {**graph("add"), "name": "adds"}
WAITS = {**graph({"signal": "ok"}, "add"), "name": "waits"}


def test_a_run_from_its_start_to_its_deletion(client: Client) -> None:
    graph_id = client.create(ADD)
    for which in (graph_id, "adds", ADD):
        run_id = client.start(which, {"n": 1}, tags={"team": "data"})
        run = client.wait(run_id, timeout_s=60)
        assert (run["status"], run["state"], run["graph_id"]) == ("completed", {"n": 2}, graph_id)
    assert client.state(run_id) == run
    assert client.state_at(run_id, 0) == {"n": 1}
    assert [step["node"] for step in client.steps(run_id)] == ["a"]
    assert [line["seq"] for line in client.logs(run_id)] == [1, 2, 3]
    assert list(client.logs(run_id, after_seq=3)) == []
    assert [line["event"] for line in client.lines(run_id, after_seq=1)] == ["step_completed", "run_completed"]
    assert client.why(run_id)["status"] == "completed"
    assert client.path(run_id)["nodes"]["a"]["visits"] == 1
    assert run_id in [each["run_id"] for each in client.runs(tag="team:data", status=["completed"])]
    assert client.backtest(graph_id, {"graph_id": graph_id})["diverging_runs"] == 0
    client.delete(run_id)
    with pytest.raises(ApiError, match="no run"):
        client.wait(run_id)


def test_graphs_tools_and_files(client: Client) -> None:
    graph_id = client.create(ADD)
    assert client.graph(graph_id)["definition"]["name"] == "adds"
    assert graph_id in [each["graph_id"] for each in client.graphs()]
    assert client.mermaid(graph_id).startswith("flowchart")
    assert "add" in [each["name"] for each in client.tools()]
    run_id = client.start(graph("leave"))
    client.wait(run_id, 60)
    assert [each["name"] for each in client.files(run_id)] == ["rows.txt"]
    assert client.file(run_id, "rows.txt") == b"rows"


def test_a_run_is_steered(client: Client) -> None:
    run_id = client.start(WAITS)
    assert client.pause(run_id) in ("paused", "queued", "running")
    assert client.wait(run_id, 60)["status"] == "paused"
    client.signal(run_id, "ok", {"by": "me"}, key="once")
    client.signal(run_id, "ok", {"by": "me"}, key="once")
    client.resume(run_id, patch={"n": 5}, max_steps=50)
    assert client.wait(run_id, 60)["state"] == {"n": 6, "ok": {"by": "me"}}
    forked = client.fork(run_id, step=2, patch={"n": 0})
    assert client.wait(forked, 60)["state"]["n"] == 1
    waiting = client.start(WAITS)
    with pytest.raises(TimeoutError, match=waiting):
        client.wait(waiting, timeout_s=0)
    assert client.cancel(waiting) == "cancelled"


def test_a_refusal_has_the_fields_of_the_problem(client: Client) -> None:
    with pytest.raises(ApiError) as refused:
        client.create({"start_node": "b", "nodes": {"a": "ad"}})
    error = pickle.loads(pickle.dumps(refused.value))
    assert (error.status, error.title, len(error.detail) > 0) == (422, refused.value.title, True)
    assert [fault.pointer for fault in error.errors] == ["/nodes/a", "/start_node"]
    assert str(error).startswith("/nodes/a: no tool 'ad'")
    for call in (client.why, client.wait, client.cancel):
        with pytest.raises(ApiError) as unknown:
            call(UNKNOWN)
        assert unknown.value.status == 404
    with pytest.raises(ApiError, match="no graph 'none'"):
        client.start("none")


def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with Client(url, patience_s=0) as client, pytest.raises(ServerUnreachable, match=url) as gone:
        client.tools()
    assert not gone.value.may_have_arrived
    with Client(url, patience_s=0) as client, pytest.raises(ServerUnreachable):
        list(client.lines(UNKNOWN))


def test_a_start_whose_answer_is_lost_starts_one_run(live: Server, client: Client) -> None:
    graph_id = client.create(ADD)
    with breaking(live.port) as proxy, Client(proxy.url) as broken:
        proxy.cuts = [0, 10, 30]
        run_id = broken.start(graph_id, {"n": 0}, tags={"lost": "answer"})
        assert proxy.connections == 4
        waiting = broken.start(WAITS)
        broken.close()
    assert [each["run_id"] for each in client.runs(tag="lost:answer")] == [run_id]
    with breaking(live.port) as proxy, Client(proxy.url) as broken:
        proxy.cuts = [0]
        broken.signal(waiting, "ok", 1)
    assert client.wait(waiting, 60)["state"]["ok"] == 1
    with breaking(live.port) as proxy, Client(proxy.url) as broken:
        proxy.cuts = [0]
        with pytest.raises(ServerUnreachable) as lost:  # A fork made twice would be two runs.
            broken.fork(run_id)
    assert lost.value.may_have_arrived


LONG = {
    **graph({"tool": "add", "max_visits": 100}),
    "edges": {"a": {"to": "a", "condition": {"key": "n", "op": "<", "value": 60}}},
}


def test_lines_miss_nothing_when_connections_break(live: Server, client: Client) -> None:
    run_id = client.start(LONG, {"n": 0})
    with breaking(live.port) as proxy, Client(proxy.url) as broken:
        proxy.cuts = [0, 500, 700, 900, 1500, 3000]
        seen = [line["seq"] for line in broken.lines(run_id)]
        assert proxy.connections > 6
    assert seen == list(range(1, client.state(run_id)["last_seq"] + 1))
    assert len(seen) > 60


async def test_the_async_client_does_the_same(live: Server) -> None:
    def signatures(kind: type) -> dict[str, Any]:
        made = {name: method for name, method in vars(kind).items() if not name.startswith("_")}
        return {name: list(inspect.signature(method).parameters) for name, method in made.items()}

    assert signatures(AsyncClient) == signatures(Client)
    with breaking(live.port) as proxy:
        async with AsyncClient(proxy.url) as client:
            proxy.cuts = [0, 200]
            run_id = await client.start(LONG, {"n": 0})
            proxy.cuts = [0, 900, 2000]
            seen = [line["seq"] async for line in client.lines(run_id)]
            assert seen == [line["seq"] async for line in client.logs(run_id)]
            run = await client.wait(run_id, 60)
            assert (run["status"], run["last_seq"]) == ("completed", len(seen))
            assert len([step async for step in client.steps(run_id)]) == 60
            assert "<svg" in (await client.show(run_id))._repr_html_()
            with pytest.raises(ApiError, match="no run"):
                await client.why(UNKNOWN)
