"""The application for programs: mounted, called by a TestClient, started by itself or with the one around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI

import rungraph
from service.core.errors import StartRefused
from tests.support.api.testclient import TestClient
from tests.support.loading import nothing_loaded

GRAPH = {"name": "double", "start_node": "a", "nodes": {"a": "double"}}


def double(state: dict[str, Any]) -> dict[str, Any]:
    """Double n."""
    return {"n": 2 * state["n"]}


def embedded(folder: Path, **more: Any) -> Any:
    return rungraph.create_app(tools=[double], database_url=f"sqlite:///{folder / 'flows.db'}", **more)


def finished(client: Any, prefix: str = "") -> dict[str, Any]:
    with rungraph.Client(prefix, http=client) as asked:
        return dict(asked.wait(asked.start(GRAPH, {"n": 21}), timeout_s=60))


def test_a_mounted_application_runs_with_the_one_around_it(tmp_path: Path) -> None:
    flows = embedded(tmp_path)
    app = FastAPI(lifespan=flows.lifespan)
    app.mount("/flows", flows)
    with TestClient(app) as client:
        assert hasattr(flows.state, "services")  # Before any call.
        assert finished(client, "/flows")["state"] == {"n": 42}
        assert client.get("/flows/docs").status_code == client.get("/flows/").status_code == 200
        assert client.get("/flows/openapi.json").json()["servers"] == [{"url": "/flows"}]
        assert "double" in [tool["name"] for tool in client.get("/flows/tools").json()["items"]]
    assert TestClient(app).get("/flows/runs").status_code == 503


def test_without_that_it_starts_with_the_first_call_and_stops_with_the_loop(tmp_path: Path) -> None:
    app = FastAPI()
    flows = embedded(tmp_path)
    app.mount("/flows", flows)
    for _ in range(2):
        with TestClient(app) as client:
            assert finished(client, "/flows")["status"] == "completed"
        assert flows.state.is_over
    # Each call of a TestClient that is not entered has a loop of its own.
    assert len(TestClient(app).get("/flows/runs").json()["items"]) == 2


def test_it_needs_no_application_around_it(tmp_path: Path) -> None:
    with TestClient(embedded(tmp_path)) as client:
        assert finished(client)["state"] == {"n": 42}


async def test_calls_at_once_start_one_server(tmp_path: Path) -> None:
    flows = embedded(tmp_path)
    transport = httpx.ASGITransport(flows)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        first = asyncio.create_task(client.get("/livez"))
        await asyncio.sleep(0)
        first.cancel()  # Its start goes on for the others.
        answers = await asyncio.gather(*(client.get("/livez") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    flows._holder.cancel()
    await asyncio.gather(flows._holder, return_exceptions=True)
    assert flows.state.is_over


async def test_an_own_lifespan_enters_it(tmp_path: Path) -> None:
    flows = embedded(tmp_path, with_engine=False)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with flows.lifespan(app):
            yield

    app = FastAPI(lifespan=lifespan)
    async with app.router.lifespan_context(app):
        assert hasattr(flows.state, "services")
    assert flows.state.is_over


def test_a_start_that_fails_is_answered_and_tried_again(tmp_path: Path) -> None:
    first, second = embedded(tmp_path), embedded(tmp_path)
    with TestClient(first) as client:
        assert client.get("/livez").status_code == 200
        refused = TestClient(second).get("/livez")
        assert (refused.status_code, "cannot start" in refused.json()["detail"]) == (503, True)
    assert TestClient(second).get("/livez").status_code == 200


def test_access_is_as_for_a_server(tmp_path: Path) -> None:
    with TestClient(embedded(tmp_path, api_token="t")) as client:
        assert client.get("/runs").status_code == 401
        assert client.get("/runs", headers={"Authorization": "Bearer t"}).status_code == 200
    with TestClient(embedded(tmp_path), client=("10.0.0.1", 1)) as client:
        assert client.get("/runs").status_code == 403
    # Only the name of the server proves a TestClient: a proxy may pass on any name of a client.
    with TestClient(embedded(tmp_path), base_url="http://rebound.example") as client:
        assert client.get("/runs").status_code == 403


def test_wrong_arguments_are_refused_at_once() -> None:
    with pytest.raises(StartRefused):
        rungraph.create_app(database_url="mysql://x")
    with nothing_loaded(), pytest.raises(StartRefused, match="two tools"):
        rungraph.create_app(tools=[double, rungraph.tool(name="double")(lambda: None)])
    with pytest.raises(TypeError, match="takes 'other'"):
        rungraph.create_app(tools=[lambda other: other])


def test_an_isolated_function_is_found_by_its_module(tmp_path: Path) -> None:
    def inner() -> None: ...

    node = {"tool": "double", "isolate": True}
    app = rungraph.create_app(tools=[double, inner], database_url=f"sqlite:///{tmp_path / 'a.db'}")
    with TestClient(app) as test_client, rungraph.Client(http=cast(Any, test_client)) as client:
        done = client.wait(client.start({"start_node": "a", "nodes": {"a": node}}, {"n": 1}), 60)
        assert (done["status"], done["state"]) == ("completed", {"n": 2})
        graph = {"start_node": "a", "nodes": {"a": {"tool": "inner", "isolate": True}}}
        error = client.wait(client.start(graph), 60)["error"]
        assert "cannot be imported in a process of its own" in error["message"]
