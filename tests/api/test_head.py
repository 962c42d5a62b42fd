"""HEAD: whatever GET answers, without its body."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpx
import pytest

from service.api import ApiSettings, create_api
from tests.support.api.executing import UNKNOWN
from tests.support.api.harness import Server, eventually, no_lifespan
from tests.support.api.testclient import TestClient

DOCUMENT: dict[str, Any] = create_api(ApiSettings(), no_lifespan).openapi()
PATHS = [
    *(path for path, methods in DOCUMENT["paths"].items() if "get" in methods),
    "/docs",
    "/openapi.json",
    "/docs/assets/swagger-ui.css",
    "/ws/logs/{run_id}",
    "/graph/create",
    "/nothing",
]
IGNORED = {"date", "transfer-encoding"}


@pytest.fixture(scope="module")
def run_id(server: Server, client: httpx.Client) -> str:
    """A run that is over and has left a file."""
    found = server.start(client)
    server.drive(found).finish()
    folder = server.runs_folder / found
    folder.mkdir(parents=True)
    (folder / "rows.csv").write_text("a\n1\n")
    return found


def headers_of(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in IGNORED}


@pytest.mark.parametrize("path", PATHS)
def test_head_answers_as_get_without_a_body(client: httpx.Client, run_id: str, path: str) -> None:
    graph_id = client.get(f"/graph/state/{run_id}").json()["graph_id"]
    names = {"graph_id": graph_id, "name": "rows.csv", "key": "n"}
    for known in (run_id, UNKNOWN):
        url = path.format(run_id=known, **names)
        got, head = client.get(url), client.head(url)
        assert head.status_code == got.status_code
        assert headers_of(head) == headers_of(got)
        assert head.content == b""
        # The connection is still in step.
        assert client.get("/livez").json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/runs/{run_id}/logs?odd=1", "/runs/{run_id}/logs?limit=0", "/runs/x", "/graph/x"])
def test_head_is_refused_as_get_is(client: httpx.Client, run_id: str, path: str) -> None:
    url = path.format(run_id=run_id)
    got, head = client.get(url), client.head(url)
    assert (head.status_code, headers_of(head), head.content) == (got.status_code, headers_of(got), b"")
    assert got.status_code in (404, 422)


def test_head_of_a_stream_holds_none(server: Server, client: httpx.Client) -> None:
    run_id = server.start(client)
    wake = server.services.store.events
    head = client.head(f"/runs/{run_id}/events")
    assert (head.status_code, head.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    assert run_id not in wake._subscribers
    with client.stream("GET", f"/runs/{run_id}/events") as got:
        assert headers_of(got) == headers_of(head)
    eventually(lambda: run_id not in wake._subscribers)


def test_nothing_follows_the_headers_on_the_wire(server: Server, run_id: str) -> None:
    for path in (f"/graph/state/{run_id}", f"/runs/{run_id}/files/rows.csv", f"/runs/{run_id}/events", "/docs"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw:
            raw.sendall(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = raw.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"\r\n\r\n")
        assert answer.count(b"\r\n\r\n") == 1


def test_no_body_leaves_the_application_itself(server: Server, run_id: str) -> None:
    """A server that does not drop what follows the headers, such as a test's, needs that."""
    client = TestClient(server.app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000))
    for path in ("/livez", "/docs", f"/runs/{UNKNOWN}", f"/graph/state/{UNKNOWN}"):
        assert client.head(path).content == b""

    async def body(path: str) -> bytes:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))

        async def receive() -> Any:
            await asyncio.sleep(3600)

        scope = {
            "type": "http",
            "method": "HEAD",
            "path": path,
            "query_string": b"",
            "client": ("127.0.0.1", 1),
            "headers": [(b"host", b"localhost")],
        }
        await server.app(scope, receive, send)
        return b"".join(sent)

    assert server.do(body(f"/graph/state/{run_id}")) == b""
    assert server.do(body(f"/runs/{run_id}/files/rows.csv")) == b""


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/livez", "GET, HEAD"),
        ("DELETE", "/runs", "GET, HEAD"),
        ("OPTIONS", "/livez", "GET, HEAD"),
        ("OPTIONS", "/graph/run", "POST"),
        ("HEAD", "/graph/run", "POST"),
        ("GET", "/graph/create", "POST"),
        ("HEAD", "/demo/run_data_quality", "POST"),
        ("PUT", f"/graph/{'0' * 32}", "GET, HEAD"),
        ("POST", "/docs", "GET, HEAD"),
        ("POST", "/openapi.json", "GET, HEAD"),
        ("POST", "/docs/assets/swagger-ui.css", "GET, HEAD"),
    ],
)
def test_a_405_names_what_is_allowed(client: httpx.Client, method: str, path: str, allowed: str) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    assert answer.headers["content-type"] == "application/problem+json"


def test_head_is_not_described(client: httpx.Client) -> None:
    assert not any("head" in methods for methods in client.get("/openapi.json").json()["paths"].values())
