"""The application under a prefix: mounted in another one, or behind a proxy that strips a sub-path."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from service.api import ApiSettings, create_api
from tests.support.api.harness import COUNT, Server, no_lifespan, serving
from tests.support.api.testclient import TestClient, WebSocketDenialResponse

RUN_ID = "0190b0a4-2c6f-7abc-8def-0123456789ab"

Ask = Callable[..., httpx.Response]


def mounted(app: FastAPI) -> Any:
    """`app` in another application, which runs its lifespan."""

    @asynccontextmanager
    async def lifespan(_outer: Any) -> AsyncIterator[None]:
        async with app.router.lifespan_context(app):
            yield

    outer = FastAPI(lifespan=lifespan)
    outer.mount("/flows", app)
    return outer


@pytest.fixture(scope="module", params=["mounted", "root path"])
def prefixed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose clients find it below `/flows`."""
    options: dict[str, Any] = {"within": mounted} if request.param == "mounted" else {"root_path": "/flows"}
    with serving(tmp_path_factory.mktemp("prefixed"), **options) as found:
        yield found


@pytest.fixture(scope="module")
def client(prefixed: Server) -> Iterator[httpx.Client]:
    """A client of the proxy: it strips the prefix where the server does not expect it in paths."""
    strips = prefixed.uvicorn.config.root_path

    def strip(request: httpx.Request) -> None:
        path = request.url.raw_path.decode().removeprefix(strips)
        request.url = request.url.copy_with(raw_path=path.encode())

    with prefixed.client(event_hooks={"request": [strip]}) as found:
        yield found


def test_the_page_and_all_it_asks_for_is_below_the_prefix(client: httpx.Client) -> None:
    answer = client.get("/flows/docs")
    assert answer.status_code == 200
    named = re.findall(r"""(?:src|href)="([^"]*)"|\burl: '([^']*)'""", answer.text)
    urls = {urljoin("/flows/docs", one or other) for one, other in named}
    assert "/flows/openapi.json" in urls
    assert len(urls) == 4
    for url in urls:
        assert url.startswith("/flows/")
        assert client.get(url).status_code == 200


def test_the_document_names_the_prefix(client: httpx.Client) -> None:
    assert client.get("/flows/openapi.json").json()["servers"] == [{"url": "/flows"}]


def test_locations_have_the_prefix(client: httpx.Client) -> None:
    graph_id = client.post("/flows/graph/create", json=COUNT).json()["graph_id"]
    for path, body in (
        ("/flows/graph/run", {"graph_id": graph_id, "initial_state": {"n": 0, "until": 1}}),
        ("/flows/demo/run_data_quality", None),
    ):
        answer = client.post(path, json=body) if body else client.post(path)
        location = answer.headers["location"]
        assert location == f"/flows/graph/state/{answer.json()['run_id']}"
        assert client.get(location).status_code == 200
    forked = client.post(f"/flows/runs/{answer.json()['run_id']}/fork")
    assert client.get(forked.headers["location"]).json()["run_id"] == forked.json()["run_id"]


def test_unknown_paths_below_the_prefix_are_problems(client: httpx.Client) -> None:
    for path in ("/flows/nothing", "/flows/docs/", "/flows/redoc"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_streams_run_below_the_prefix(prefixed: Server, client: httpx.Client) -> None:
    graph_id = client.post("/flows/graph/create", json=COUNT).json()["graph_id"]
    body = {"graph_id": graph_id, "initial_state": {"n": 0, "until": 1}}
    run_id = client.post("/flows/graph/run", json=body).json()["run_id"]
    prefixed.drive(run_id).finish()
    path = f"/ws/logs/{run_id}"
    path = path if prefixed.uvicorn.config.root_path else f"/flows{path}"
    with connect(f"ws://127.0.0.1:{prefixed.port}{path}", proxy=None) as socket:
        over_socket = [json.loads(message) for message in socket]
    over_events = client.get(f"/flows/runs/{run_id}/events").text
    assert len(over_socket) == over_events.count("id: ") == 3


@pytest.mark.parametrize("within", [None, mounted])
def test_the_rules_of_access_hold_below_the_prefix(tmp_path: Path, within: Any) -> None:
    options: dict[str, Any] = {} if within else {"root_path": "/flows"}
    before = "/flows" if within else ""
    with (
        serving(tmp_path, ApiSettings(api_token="t"), within=within, **options) as server,
        server.client() as client,
    ):
        bearer = {"Authorization": "Bearer t"}
        assert client.get(f"{before}/livez").status_code == 200
        for path in ("/readyz", "/runs", "/docs", "/openapi.json", "/docs/assets/swagger-ui.css", "/livez/"):
            assert client.get(before + path).status_code == 401
        assert client.get(f"{before}/docs", headers=bearer).status_code == 200
        foreign = {**bearer, "Origin": "http://evil.org"}
        assert client.post(f"{before}/graph/create", headers=foreign).status_code == 403
        with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{server.port}{before}/ws/logs/{RUN_ID}"):
            pass
        assert refused.value.response.status_code == 401


def test_a_stop_reaches_the_streams_of_a_mounted_application(tmp_path: Path) -> None:
    with serving(tmp_path, within=mounted) as server, server.client(base_url=f"{server.url}/flows") as client:
        run_id = server.start(client)
        with connect(f"ws://127.0.0.1:{server.port}/flows/ws/logs/{run_id}", proxy=None) as socket:
            # So that it can be aborted, should its reader not read.
            assert len(server.services.stop._transports) == 2
            server.services.stop.set()
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012


# Without its lifespan


def unstarted() -> Starlette:
    return Starlette(routes=[Mount("/flows", create_api(ApiSettings(allow_anonymous=True), no_lifespan))])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/livez"),
        ("GET", "/readyz"),
        ("GET", "/docs"),
        ("GET", "/nothing"),
        ("GET", f"/runs/{RUN_ID}/events"),
        ("POST", "/graph/run"),
    ],
)
def test_a_mounted_application_without_its_lifespan_says_so(method: str, path: str) -> None:
    with TestClient(unstarted()) as client:
        answer = client.request(method, f"/flows{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        assert "lifespan has not run" in answer.json()["detail"]
        assert "lifespan_context" in answer.json()["detail"]


def test_a_handshake_without_the_lifespan_is_refused_with_the_reason() -> None:
    with (
        TestClient(unstarted()) as client,
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect(f"/flows/ws/logs/{RUN_ID}"),
    ):
        pass
    assert refused.value.status_code == 503
    assert "lifespan has not run" in refused.value.json()["detail"]


def test_without_the_lifespan_the_rules_of_access_come_first() -> None:
    app = create_api(ApiSettings(api_token="t"), no_lifespan)
    assert TestClient(app).get("/runs").status_code == 401
    assert TestClient(app, headers={"Authorization": "Bearer t"}).get("/runs").status_code == 503


async def test_an_application_whose_lifespan_is_over_says_so_too(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        app = server.app

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/runs")
    assert answer.status_code == 503
    assert "is over" in answer.json()["detail"]
