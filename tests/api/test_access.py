"""Who may call."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from service.api import ApiSettings, create_api
from service.api.access import AccessMiddleware, is_foreign
from tests.support.api.harness import Server, serving
from tests.support.api.testclient import TestClient

TOKEN = "s3cret-tökén"
RUN_ID = "0190b0a4-2c6f-7abc-8def-0123456789ab"


def status(
    settings: ApiSettings,
    *,
    client: tuple[str, int] | None = ("127.0.0.1", 1),
    headers: Iterable[tuple[str, str]] = (("host", "localhost:8000"),),
    method: str = "GET",
    path: str = "/runs",
    kind: str = "http",
) -> tuple[int, dict[str, str]]:
    """What Access answers; 200 where it lets a call through."""

    async def through(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read of a call that is refused")

    raw = [(name.encode(), value.encode()) for name, value in headers]
    scope = {"type": kind, "method": method, "path": path, "client": client, "headers": raw}
    asyncio.run(AccessMiddleware(through, settings)(scope, receive, send))
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found


OPEN = ApiSettings()
ANYBODY = ApiSettings(allow_anonymous=True)
CLOSED = ApiSettings(api_token=TOKEN)


@pytest.mark.parametrize("address", [("127.0.0.1", 1), ("127.8.9.1", 1), ("::1", 1), ("::ffff:127.0.0.1", 1), None])
def test_without_a_token_this_machine_may_call(address: tuple[str, int] | None) -> None:
    assert status(OPEN, client=address)[0] == 200


@pytest.mark.parametrize("address", ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1", "fe80::1%eth0", "testclient", ""])
def test_without_a_token_nobody_else_may(address: str) -> None:
    assert status(OPEN, client=(address, 1))[0] == 403
    assert status(OPEN, client=(address, 1), path="/livez")[0] == 403
    assert status(ANYBODY, client=(address, 1), headers=[("host", "example.org")])[0] == 200
    assert status(CLOSED, client=(address, 1))[0] == 401


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:8000", "127.1.2.3:1", "[::1]", "[::1]:8000"]
)
def test_hosts_of_this_machine(host: str) -> None:
    assert status(OPEN, headers=[("host", host)])[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "localhost.example.org",
        "10.0.0.1",
        "127.0.0.1.nip.io:8000",
        "",
        "[::2]",
        "::1",
        "a@localhost",
        "localhost:",
        "localhost:x",
        "0.0.0.0:8000",
    ],
)
def test_other_hosts_are_refused_from_this_machine(host: str) -> None:
    # A name that was rebound to 127.0.0.1 makes a stranger's page a client on this machine.
    assert status(OPEN, headers=[("host", host)])[0] == 403
    assert status(ANYBODY, headers=[("host", host)])[0] == 403
    bearer = ("authorization", f"Bearer {TOKEN}")
    assert status(CLOSED, headers=[("host", host), bearer])[0] == 200


@pytest.mark.parametrize("headers", [[], [("host", "localhost"), ("host", "localhost")]])
def test_a_call_has_one_host(headers: list[tuple[str, str]]) -> None:
    assert status(OPEN, headers=headers)[0] == 400


@pytest.mark.parametrize(
    ("origin", "host", "foreign"),
    [
        ("http://localhost:8000", "localhost:8000", False),
        ("http://LocalHost:8000", "localhost:8000", False),
        ("http://localhost", "localhost", False),
        ("http://localhost:80", "localhost", False),
        ("https://example.org", "example.org:443", False),
        ("http://[::1]:8000", "[::1]:8000", False),
        ("http://localhost:8001", "localhost:8000", True),
        ("http://127.0.0.1:8000", "localhost:8000", True),
        ("https://localhost", "localhost:80", True),
        ("http://localhost.evil.org:8000", "localhost:8000", True),
        ("http://localhost:8000/", "localhost:8000", True),
        ("http://localhost:8000@evil.org", "localhost:8000", True),
        ("null", "localhost:8000", True),
        ("", "localhost:8000", True),
        ("localhost:8000", "localhost:8000", True),
        ("file://", "localhost:8000", True),
    ],
)
def test_origins(origin: str, host: str, foreign: bool) -> None:
    assert is_foreign(origin, host) is foreign


def test_a_foreign_origin_may_read_but_change_nothing() -> None:
    bearer = ("authorization", f"Bearer {TOKEN}")
    headers = [("host", "localhost"), ("origin", "http://evil.org"), bearer]
    for settings in (OPEN, ANYBODY, CLOSED):
        assert status(settings, headers=headers)[0] == 200
        for method in ("POST", "PUT", "PATCH", "DELETE", "ODD"):
            assert status(settings, headers=headers, method=method)[0] == 403
        assert status(settings, headers=headers, kind="websocket")[0] == 403
    both = [("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://evil.org")]
    assert status(OPEN, headers=both, method="POST")[0] == 403
    assert status(OPEN, headers=both[:2], method="POST")[0] == 200


@pytest.mark.parametrize(
    "authorization",
    [
        [],
        ["Bearer"],
        ["Bearer "],
        ["Bearer wrong"],
        [TOKEN],
        [f"Basic {TOKEN}"],
        [f"Bearer {TOKEN}x"],
        ["Bearer ☃"],
        [f"Bearer {TOKEN}", f"Bearer {TOKEN}"],
    ],
)
def test_a_token_is_asked_for_everywhere(authorization: list[str]) -> None:
    headers = [("host", "example.org"), *(("authorization", value) for value in authorization)]
    for path in ("/runs", "/docs", "/openapi.json", "/docs/assets/swagger-ui.css", "/readyz", "/nothing", "/livez/"):
        code, answered = status(CLOSED, headers=headers, path=path)
        assert (code, answered["www-authenticate"]) == (401, "Bearer")
    assert status(CLOSED, headers=headers, kind="websocket")[0] == 401
    assert status(CLOSED, headers=headers, path="/livez")[0] == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_the_token_opens(scheme: str) -> None:
    headers = [("host", "example.org"), ("authorization", f"{scheme} {TOKEN}")]
    assert status(CLOSED, headers=headers, client=("10.0.0.1", 1))[0] == 200


@pytest.mark.parametrize("token", ["voilà", "tökén with a space", "☃", "\udcff\udce9", "a" * 5000, "Å…"])
async def test_whatever_a_header_can_carry_is_a_token(token: str) -> None:
    async def through(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read here")

    bearer = b"Bearer " + token.encode(errors="surrogateescape")
    for raw in (bearer, bearer[:-1], bearer + b"x"):
        headers = [(b"host", b"example.org"), (b"authorization", raw)]
        scope = {"type": "http", "method": "GET", "path": "/runs", "client": ("10.0.0.1", 1), "headers": headers}
        await AccessMiddleware(through, ApiSettings(api_token=token))(scope, receive, send)
    assert [message["status"] for message in sent if "status" in message] == [200, 401, 401]


def test_refusals_at_a_handshake_are_http_answers(tmp_path: Path) -> None:
    with serving(tmp_path, ApiSettings(api_token="t")) as server, server.client() as client:
        url = f"ws://127.0.0.1:{server.port}/ws/logs/{RUN_ID}"
        bearer = {"Authorization": "Bearer t"}
        assert handshake(url) == (401, 401)
        assert handshake(url, bearer) == (404, 404)
        assert handshake(url, {**bearer, "Origin": "http://evil.org"}) == (403, 403)
        assert handshake(url + "?after_seq=x", bearer) == (422, 422)
        assert handshake(url + "?after=1", bearer) == (422, 422)
        assert handshake(url.replace("logs", "nothing"), bearer) == (404, 404)
        answer = client.get("/runs")
        assert (answer.status_code, answer.json()["status"]) == (401, 401)
        assert answer.headers["content-type"] == "application/problem+json"
        assert client.get("/livez").status_code == 200
        assert client.get("/docs", headers=bearer).status_code == 200


def handshake(url: str, headers: dict[str, str] | None = None) -> tuple[int, int]:
    """The status with which a WebSocket is refused, and the one in the problem that says so."""
    with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=headers, proxy=None):
        pass
    response = refused.value.response
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = json.loads(response.body)
    return response.status_code, problem["status"]


def test_docs_work_without_internet(client: httpx.Client) -> None:
    page = client.get("/docs").text
    assert "https://" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"/docs/assets/{asset}" in page
        assert client.get(f"/docs/assets/{asset}").status_code == 200


def test_docs_are_as_strict_about_their_query_as_any_route(client: httpx.Client) -> None:
    answer = client.get("/docs?theme=dark")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/theme"


async def test_a_fault_of_our_own_is_a_problem_too() -> None:
    @asynccontextmanager
    async def lifespan(_app: Any) -> Any:
        yield

    app = create_api(ApiSettings(), lifespan)
    app.state.services = None

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/tools")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")


def detail(settings: ApiSettings, headers: dict[str, str], **scope: Any) -> str:
    """What a refusal says."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def nothing(*_: Any) -> Any:
        raise AssertionError("the call is refused")

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    given = {"type": "http", "method": "POST", "path": "/runs", "client": ("127.0.0.1", 1), "headers": raw, **scope}
    asyncio.run(AccessMiddleware(nothing, settings)(given, nothing, send))
    found: str = json.loads(sent[1]["body"])["detail"]
    return found


def test_every_refusal_names_what_to_set_or_to_send() -> None:
    remote = detail(OPEN, {"host": "testserver"}, client=("testclient", 50000))
    assert "RUNGRAPH_API_TOKEN" in remote
    assert "RUNGRAPH_ALLOW_ANONYMOUS=1" in remote
    assert "'testclient'" in remote
    renamed = detail(OPEN, {"host": "testserver"})
    assert "'testserver'" in renamed
    assert 'base_url="http://127.0.0.1"' in renamed
    assert "RUNGRAPH_API_TOKEN" in renamed
    assert "RUNGRAPH_API_TOKEN" in detail(CLOSED, {"host": "testserver"})
    foreign = detail(OPEN, {"host": "localhost:8000", "origin": "http://evil.org"})
    assert "'http://evil.org'" in foreign
    assert "'localhost:8000'" in foreign
    for long in ({"host": "x" * 9999}, {"host": "localhost", "origin": "x" * 9999}, {"host": "\xff\x01"}):
        assert len(detail(OPEN, long)) < 1000


def test_what_a_refusal_tells_a_test_client_works(server: Server) -> None:
    assert TestClient(server.app).get("/livez").status_code == 403
    asked = TestClient(server.app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000)).get("/livez")
    assert asked.status_code == 200


def test_nobody_may_frame_the_page_and_only_its_own_script_runs(client: httpx.Client) -> None:
    answer = client.get("/docs")
    policy = dict(part.partition(" ")[::2] for part in answer.headers["content-security-policy"].split("; "))
    assert policy["frame-ancestors"] == "'none'"
    assert policy["default-src"] == "'none'"
    assert "unsafe-inline" not in policy["script-src"]
    assert not any("http" in sources for sources in policy.values())
    (script,) = re.findall("<script>(.*?)</script>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    for path in ("/docs", "/docs/assets/swagger-ui-bundle.js", "/docs/assets/swagger-ui.css"):
        assert client.get(path).headers["x-content-type-options"] == "nosniff"
