"""Sessions: the cookie that counts as the token does, and what is answered without either."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import Response
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from service.api import ApiSettings
from service.api import session as sessions
from service.api.routes import session
from tests.support.api.executing import UNKNOWN, refused
from tests.support.api.harness import Server, serving

TOKEN = "s3cret-tökén"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    page = tmp_path_factory.mktemp("page")
    (page / "index.html").write_text("<title>{{database}}</title>")
    with serving(tmp_path_factory.mktemp("guarded"), ApiSettings(api_token=TOKEN, page_folder=page)) as found:
        yield found


@pytest.fixture
def browser(guarded: Server) -> Iterator[httpx.Client]:
    with guarded.client() as found:
        yield found


def cookie_of(answer: httpx.Response) -> tuple[str, set[str]]:
    """The name and value of the cookie, and its attributes."""
    pair, *attributes = answer.headers["set-cookie"].split("; ")
    return pair, set(attributes)


def test_the_token_is_exchanged_for_a_cookie_that_counts_as_it_does(guarded: Server, browser: httpx.Client) -> None:
    refused(browser.get("/runs"), 401)
    answer = browser.post("/session", json={"token": TOKEN})
    assert (answer.status_code, answer.content) == (204, b"")
    pair, attributes = cookie_of(answer)
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= attributes
    assert "Secure" not in attributes
    assert TOKEN not in pair
    assert browser.get("/runs").status_code == 200
    with (
        pytest.raises(InvalidStatus) as error,
        connect(f"ws://127.0.0.1:{guarded.port}/ws/logs/{UNKNOWN}", additional_headers={"Cookie": pair}, proxy=None),
    ):
        pass
    assert error.value.response.status_code == 404
    # A foreign page's call is refused, although the browser would send the cookie.
    refused(browser.post("/graph/run", json={}, headers={"Origin": "http://elsewhere"}), 403)


def test_the_session_ends(browser: httpx.Client) -> None:
    refused(browser.delete("/session"), 401)
    pair, _ = cookie_of(browser.post("/session", json={"token": TOKEN}))
    other, _ = cookie_of(httpx.post(f"{browser.base_url}/session", json={"token": TOKEN}))
    answer = browser.delete("/session")
    assert answer.status_code == 204
    assert "Max-Age=0" in cookie_of(answer)[1]
    refused(browser.get("/runs"), 401)
    # Somebody who kept the cookie cannot use it. Another session goes on.
    refused(browser.get("/runs", headers={"Cookie": pair}), 401)
    assert browser.get("/runs", headers={"Cookie": other}).status_code == 200
    # The token ends no session, and is not ended.
    assert browser.delete("/session", headers={b"Authorization": f"Bearer {TOKEN}".encode()}).status_code == 204
    assert browser.get("/runs", headers={"Cookie": other}).status_code == 200


def test_the_ended_sessions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "ENDED_MAX", 2)
    mine = sessions.Sessions(TOKEN.encode())
    scope: Any = {"type": "http", "scheme": "http", "headers": []}
    values = []
    for _ in range(3):
        answer = Response()
        mine.begin(answer, scope)
        pair = answer.headers["set-cookie"].partition(";")[0]
        values.append(pair.partition("=")[2])
        mine.end(Response(), {**scope, "headers": [(b"cookie", pair.encode())]})
    assert [mine.is_valid(value) for value in values] == [True, False, False]


def test_the_cookie_is_secure_by_https(browser: httpx.Client) -> None:
    answer = browser.post("/session", json={"token": TOKEN}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in cookie_of(answer)[1]


@pytest.mark.parametrize("value", ["", "1", "99999999999.", "99999999999.0", "²³.a", "-1.a", ".", "x.y", "9" * 5000])
def test_a_cookie_that_was_not_issued_is_refused(browser: httpx.Client, value: str) -> None:
    name = sessions.Sessions(TOKEN.encode()).cookie
    refused(browser.get("/runs", headers={b"Cookie": f"{name}={value}".encode()}), 401)


def test_a_cookie_ends_and_belongs_to_its_token(browser: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = sessions.Sessions(TOKEN.encode()), sessions.Sessions(b"other")
    assert mine.cookie != other.cookie
    pair, _ = cookie_of(browser.post("/session", json={"token": TOKEN}))
    value = pair.partition("=")[2]
    assert mine.is_valid(value)
    assert not other.is_valid(value)
    end = int(value.partition(".")[0])
    monkeypatch.setattr("time.time", lambda: end + 1.0)
    assert not mine.is_valid(value)


def test_a_wrong_token_is_answered_slowly_and_blocks_nobody(
    guarded: Server, browser: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "WRONG_TOKEN_DELAY_S", 600.0)
    asked = threading.Thread(target=lambda: found.append(browser.post("/session", json={"token": "wrong"})))
    found: list[httpx.Response] = []
    asked.start()
    with guarded.client() as other:
        assert other.post("/session", json={"token": TOKEN}).status_code == 204
    assert not found
    # A server that stops lets nobody wait.
    guarded.services.stop.set()
    asked.join(60)
    refused(found[0], 401)


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 400), (b"{", 400), (b"{}", 422), (b'{"token": 1}', 422), (b'{"token": "", "x": 1}', 422)]
)
def test_a_faulty_body_is_refused(browser: httpx.Client, body: bytes, status: int) -> None:
    refused(browser.post("/session", content=body, headers={"Content-Type": "application/json"}), status)


def test_the_page_is_answered_without_a_token_and_says_nothing_of_the_database(browser: httpx.Client) -> None:
    for path in ("/", "/ui", "/ui/", "/ui/runs/x"):
        assert browser.get(path).text == "<title></title>"
        assert browser.head(path).status_code == 200
    refused(browser.post("/"), 401)
    refused(browser.get("/docs"), 401)
    refused(browser.get("/uix"), 401)


def test_a_server_without_a_token_needs_no_session(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.client() as client:
        answer = client.post("/session", json={"token": "any"})
        assert (answer.status_code, "set-cookie" in answer.headers) == (204, False)
        assert client.delete("/session").status_code == 204
