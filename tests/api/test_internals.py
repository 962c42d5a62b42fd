"""Tests that fail when FastAPI, Starlette or uvicorn change what this project uses beyond their documentation.

What is used, where, and which tests depend on it:

- `stop._transport_of`: uvicorn's `send` and `receive` are methods of objects that have `transport`. Here.
- `app.Api.build_middleware_stack`: FastAPI builds its middleware there, so that ours is outermost. Here.
- `app.create_api`: `router.default` handles unknown paths (test_unknown.py), and `router.routes` may be extended. Here.
- `parameters.StrictRoute`: a route's `app` handles a call, and `dependant.query_params` are its parameters. Here.
- `connections.http.HttpProtocol`: the methods and attributes of uvicorn's HttpToolsProtocol. Here, and what they do in
  test_connections.py.
- `connections.inbound_limit.InboundLimit`: the transport's protocol may be replaced once `send` is called. In
  test_incoming.py.
- `routes.docs`: the inline script of Swagger UI's page, whose hash is in the policy. In test_described.py.
"""

from __future__ import annotations

import inspect
from typing import Any

import fastapi.routing
import httpx
import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets.sync.client import connect

from service.api import stop
from service.api.connections import HttpProtocol
from tests.support.api.harness import COUNT, Server

METHODS = (
    *("connection_made", "connection_lost", "data_received", "handle_websocket_upgrade"),
    *("on_message_begin", "on_url", "on_header", "on_headers_complete", "on_body", "on_message_complete"),
    *("on_response_complete", "_unset_keepalive_if_required", "_should_upgrade", "_unsupported_upgrade_warning"),
)
ATTRIBUTES = ("server_state", "transport", "loop", "parser", "flow", "pipeline", "cycle", "headers", "url")
CYCLE_ATTRIBUTES = (
    *("response_complete", "response_started", "disconnected", "message_event", "body", "waiting_for_100_continue"),
)


def test_uvicorns_protocol_has_the_methods_that_ours_overrides_or_calls() -> None:
    for name in METHODS:
        assert inspect.isfunction(getattr(HttpToolsProtocol, name, None)), name


def test_uvicorns_protocol_has_the_attributes_that_ours_reads(server: Server, client: httpx.Client) -> None:
    client.get("/livez").raise_for_status()
    [protocol, *_] = [each for each in server.uvicorn.server_state.connections if isinstance(each, HttpProtocol)]
    for name in ATTRIBUTES:
        assert hasattr(protocol, name), name
    for name in CYCLE_ATTRIBUTES:
        assert hasattr(protocol.cycle, name), name
    assert hasattr(protocol.flow, "read_paused")
    assert protocol.server_state.default_headers is not None


def test_the_outermost_middleware_finds_the_transport_of_each_connection(
    server: Server, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Any] = []
    transport_of = stop._transport_of

    def record(*callables: Any) -> Any:
        found.append(transport_of(*callables))
        return found[-1]

    monkeypatch.setattr(stop, "_transport_of", record)
    run_id = server.start(client)
    server.drive(run_id).finish()
    with connect(f"ws://127.0.0.1:{server.port}/ws/logs/{run_id}", proxy=None) as socket:
        list(socket)
    assert len(found) == 3
    assert all(hasattr(transport, "get_write_buffer_size") for transport in found)


def test_a_route_that_takes_the_request_alone_is_not_resolved_by_fastapi(
    server: Server, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph_id = client.post("/graph/create", json=COUNT).json()["graph_id"]

    async def fail(**_: Any) -> None:
        raise AssertionError("FastAPI resolved the dependencies")

    monkeypatch.setattr(fastapi.routing, "solve_dependencies", fail)
    assert client.post("/graph/run", json={"graph_id": graph_id}).status_code == 202
    with server.client() as other:
        assert other.get(f"/graph/{graph_id}").status_code == 500
    # Query parameters are refused before anything else of the call is read.
    assert client.get("/graphs", params={"no": "thing"}).status_code == 422


def test_the_routers_routes_are_the_applications(server: Server) -> None:
    routes: Any = server.app.routes
    paths = [route.path for route in routes]
    assert len(paths) == len(server.app.router.routes)
    assert paths.index("/graph/run") < paths.index("/graph/{graph_id}")
