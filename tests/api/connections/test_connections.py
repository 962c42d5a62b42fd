"""Bounds on what a client may send before anybody knows who it is, and on how long it may take."""

from __future__ import annotations

import json
import math
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import parse_headers
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from service.api import ApiSettings
from service.api.connections import http, open_connections
from service.api.connections.descriptors import CONNECTIONS_MAX
from service.api.connections.http import (
    FRAMING_BYTES_MAX,
    HEAD_BYTES_MAX,
    HEADERS_MAX,
    PIPELINED_MAX,
    URL_BYTES_MAX,
)
from tests.support.api.harness import Server, eventually, serving
from tests.support.rawsocket import connected, reset

LINE = b"GET /livez HTTP/1.1\r\n"
HEAD = LINE + b"Host: localhost\r\n"
POST = b"POST /graph/create HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that asks for a token: all of this comes before that."""
    with serving(tmp_path_factory.mktemp("connections"), ApiSettings(api_token="t")) as found:
        yield found


def answers_of(raw: socket.socket) -> Iterator[tuple[int, dict[str, Any]]]:
    """The status of each answer, and the JSON in it, until the connection ends."""
    with raw.makefile("rb") as read:
        while line := read.readline():
            headers = parse_headers(read)
            yield int(line.split()[1]), json.loads(read.read(int(headers["content-length"])))


def answer_of(raw: socket.socket) -> tuple[int, dict[str, Any]]:
    """The next answer, where only one comes at a time."""
    return next(answers_of(raw))


def sent(server: Server, *pieces: bytes) -> tuple[int, dict[str, Any]]:
    """The answer to a client that goes on sending whatever it is told."""
    with connected(server.port) as raw:
        with suppress(OSError):
            for piece in pieces:
                raw.sendall(piece)
        return answer_of(raw)


def refused(answer: tuple[int, dict[str, Any]], status: int, names: str) -> None:
    assert (answer[0], answer[1]["status"]) == (status, status)
    assert names in answer[1]["detail"]


@pytest.mark.parametrize(
    ("pieces", "status", "names"),
    [
        ([HEAD, *[b"A: " + b"x" * 100 + b"\r\n"] * 5000], 431, "headers"),
        ([HEAD + b"a:b\r\n" * 10_000], 431, "headers"),
        ([HEAD + b"A: ", *[b"x" * 1000] * 1000], 431, str(HEAD_BYTES_MAX)),
        ([HEAD + b"A: " + b"x" * 2**20], 431, str(HEAD_BYTES_MAX)),
        ([HEAD, *[b"x" * 1000] * 1000], 431, str(HEAD_BYTES_MAX)),
        ([b"\r\n" * HEAD_BYTES_MAX], 431, str(HEAD_BYTES_MAX)),
        ([b"GET /", *[b"x" * 1000] * 1000], 414, str(URL_BYTES_MAX)),
        ([b"GET /" + b"x" * URL_BYTES_MAX + b" HTTP/1.1\r\n\r\n"], 414, str(URL_BYTES_MAX)),
        ([b"GET /?" + b"x" * URL_BYTES_MAX + b" HTTP/1.1\r\n\r\n"], 414, str(URL_BYTES_MAX)),
        ([CHUNKED + b"1;", *[b"x" * 1000] * 2000], 400, "framing"),
        ([CHUNKED, *[b"1;" + b"x" * 1000 + b"\r\na\r\n"] * 2000], 400, "framing"),
        ([CHUNKED + b"0\r\n", *[b"a:b\r\n"] * 10_000], 431, "headers"),
        ([CHUNKED + b"0\r\nA: ", *[b"x" * 1000] * 2000], 400, "framing"),
        ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], 400, "HTTP"),
        ([b"GET / HTTP/9.9\r\n\r\n"], 400, "HTTP"),
        ([HEAD + b"A b: c\r\n\r\n"], 400, "HTTP"),
        ([POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"], 400, "HTTP"),
    ],
    ids=lambda value: f"{len(value)} {value[0][-20:]!r}" if isinstance(value, list) else str(value),
)
def test_what_comes_before_a_call_is_bounded(server: Server, pieces: list[bytes], status: int, names: str) -> None:
    # A body that is refused here may be answered by 401 before: nobody has sent a token.
    pieces = [piece.replace(b"Host:", b"Authorization: Bearer t\r\nHost:") for piece in pieces]
    refused(sent(server, *pieces), status, names)


def test_what_is_large_and_within_the_bounds_is_read(server: Server) -> None:
    headers = b"".join(b"A%d: %s\r\n" % (number, b"x" * 200) for number in range(HEADERS_MAX - 1))
    assert sent(server, LINE + headers + b"Host: localhost\r\n\r\n")[0] == 200
    assert sent(server, LINE + b"Host: localhost\r\nA: " + b"x" * (HEAD_BYTES_MAX - 100) + b"\r\n\r\n")[0] == 200
    path = b"GET /livez/" + b"x" * (URL_BYTES_MAX - 10) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert sent(server, path)[0] == 401
    # Byte by byte, and many after another.
    with connected(server.port) as raw:
        for _ in range(3):
            for number in range(len(HEAD)):
                raw.sendall(HEAD[number : number + 1])
            raw.sendall(b"\r\n")
            assert answer_of(raw)[0] == 200


def test_a_body_in_small_chunks_is_read(server: Server) -> None:
    size = 2 * FRAMING_BYTES_MAX
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in b'"' + b"x" * size + b'"') + b"0\r\nA: b\r\n\r\n"
    head = CHUNKED.replace(b"Host:", b"Authorization: Bearer t\r\nHost:")
    assert sent(server, head + body)[0] == 422


def test_requests_ahead_of_their_answers_are_bounded(server: Server) -> None:
    with connected(server.port) as raw:
        raw.sendall((HEAD + b"\r\n") * (PIPELINED_MAX * 10))
        answers = list(answers_of(raw))
    refused(answers[-1], 429, str(PIPELINED_MAX))
    assert len(answers) == PIPELINED_MAX + 2
    # Requests that wait on all connections together fit in the memory of a small server, at 5 kB each.
    assert PIPELINED_MAX * CONNECTIONS_MAX * 5_000 <= 2**28


def test_requests_in_a_row_are_answered_in_order(server: Server) -> None:
    paths = [f"/livez/{number}" for number in range(PIPELINED_MAX)]
    with connected(server.port) as raw:
        for path in paths:
            raw.sendall(f"GET {path}?{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t\r\n\r\n".encode())
        assert [status for status, _ in islice(answers_of(raw), len(paths))] == [404] * len(paths)


def test_a_refusal_comes_after_earlier_answers(server: Server) -> None:
    with connected(server.port) as raw:
        raw.sendall((HEAD + b"\r\n") * 3 + b"\x00\x01\x02\r\n\r\n")
        assert [status for status, _ in answers_of(raw)] == [200, 200, 200, 400]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_connections, "HEAD_TIMEOUT_S", 0.3)
    monkeypatch.setattr(open_connections, "CHECK_EVERY_S", 0.1)
    monkeypatch.setattr(http, "BODY_TIMEOUT_S", 0.3)
    monkeypatch.setattr(http, "LINGER_S", 0.3)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("begun", [b"G", HEAD, HEAD + b"A: b"])
def test_a_head_that_does_not_come_is_given_up(server: Server, begun: bytes) -> None:
    with connected(server.port) as raw:
        raw.sendall(begun)
        refused(answer_of(raw), 408, "head")
        assert raw.recv(1) == b""


@pytest.mark.usefixtures("impatient")
def test_a_head_that_comes_in_drops_is_given_up(server: Server) -> None:
    with connected(server.port) as raw:
        raw.sendall(HEAD)
        with suppress(OSError):
            for _ in range(200):
                raw.sendall(b"A: b\r\n"[:1])
                time.sleep(0.01)
        refused(answer_of(raw), 408, "head")


@pytest.mark.usefixtures("impatient")
def test_a_connection_that_says_nothing_is_closed_without_a_word(server: Server) -> None:
    with connected(server.port) as raw:
        assert raw.recv(1) == b""
    with connected(server.port) as raw:
        raw.sendall(HEAD + b"\r\n")
        assert answer_of(raw)[0] == 200
        assert raw.recv(1) == b""


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("begun", [b"Content-Length: 999\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1;"])
def test_a_body_that_does_not_come_is_given_up(server: Server, begun: bytes) -> None:
    with connected(server.port) as raw:
        raw.sendall(POST + b"Authorization: Bearer t\r\n" + begun)
        refused(answer_of(raw), 408, "body")
        assert raw.recv(1) == b""
    eventually(lambda: not server.uvicorn.server_state.tasks)


def is_cut(raw: socket.socket) -> bool:
    try:
        raw.sendall(b"x" * 1000)
    except OSError:
        return True
    return False


@pytest.mark.usefixtures("impatient")
def test_a_body_that_goes_on_after_its_answer_is_cut(server: Server) -> None:
    with connected(server.port) as raw:
        raw.sendall(POST + b"Content-Length: 99999999\r\n\r\n")
        assert answer_of(raw)[0] == 401
        eventually(lambda: is_cut(raw))


def test_a_slow_body_that_keeps_its_pace_is_read(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_connections, "CHECK_EVERY_S", 0.02)
    monkeypatch.setattr(http, "BODY_TIMEOUT_S", 1.0)
    monkeypatch.setattr(http, "BODY_BYTES_PER_S", 1)
    with connected(server.port) as raw:
        raw.sendall(POST + b"Authorization: Bearer t\r\nContent-Length: 100\r\n\r\n")
        for _ in range(50):
            raw.sendall(b"  ")
            time.sleep(0.03)
        assert answer_of(raw)[0] == 400


@pytest.mark.usefixtures("impatient")
def test_bytes_that_came_fast_earn_no_pause(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_BYTES_PER_S", 1)
    with connected(server.port) as raw:
        raw.sendall(POST + b"Authorization: Bearer t\r\nContent-Length: 99999\r\n\r\n" + b" " * 10_000)
        refused(answer_of(raw), 408, "body")


def test_a_late_body_of_a_broken_connection_is_no_error(server: Server) -> None:
    with connected(server.port) as raw:
        raw.sendall(POST + b"Authorization: Bearer t\r\nContent-Length: 999\r\n\r\n{")
        eventually(lambda: server.uvicorn.server_state.tasks)

        async def time_out_what_has_just_broken() -> None:
            connections = server.uvicorn.server_state.connections
            [connection] = [each for each in connections if isinstance(each, http.HttpProtocol) and each.cycle]
            raw.close()  # The answer to this makes the system break the connection at once.
            connection.check_body(math.inf)

        server.do(time_out_what_has_just_broken())


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that has room for ten connections."""
    monkeypatch.setattr(open_connections, "connections_max", lambda: 10)
    monkeypatch.setattr(open_connections, "CHECK_EVERY_S", 0.1)
    with serving(tmp_path) as found:
        yield found


def test_who_says_nothing_makes_room(small: Server) -> None:
    with ExitStack() as opened, small.client() as kept:
        assert kept.get("/livez").status_code == 200
        for number in range(50):
            raw = opened.enter_context(connected(small.port))
            raw.sendall(HEAD[: number % len(HEAD)])
            with small.client() as client:
                assert client.get("/livez").status_code == 200
        assert len(small.uvicorn.server_state.connections) <= 11


def test_where_all_are_at_work_a_newcomer_is_told_so(small: Server, caplog: pytest.LogCaptureFixture) -> None:
    with ExitStack() as opened, small.client() as client:
        run_id = small.start(client)
        client.close()
        streams = [opened.enter_context(connected(small.port)) for _ in range(10)]
        for raw in streams:
            raw.sendall(f"GET /runs/{run_id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert raw.recv(12) == b"HTTP/1.1 200"
        for _ in range(30):
            with connected(small.port) as raw:
                refused(answer_of(raw), 503, "10 connections")
        eventually(lambda: "the maximum" in caplog.text)
        reset(streams[0])
        eventually(lambda: len(small.uvicorn.server_state.connections) < 10)
        with small.client() as again:
            assert again.get("/livez").status_code == 200
    assert caplog.text.count("the maximum") < 10


def test_an_early_answer_keeps_no_body(server: Server) -> None:
    with connected(server.port) as raw:
        raw.sendall(POST + b"Content-Length: 200000\r\n\r\n" + b"x" * 60_000)
        assert answer_of(raw)[0] == 401
        raw.sendall(b"x" * 60_000)
        connections: Any = server.uvicorn.server_state.connections
        eventually(lambda: all(not each.cycle.body for each in connections if each.cycle is not None))


def test_a_client_may_wait_for_leave_to_send_its_body(server: Server) -> None:
    with connected(server.port) as raw:
        raw.sendall(POST + b"Authorization: Bearer t\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 100")
        raw.sendall(b"{}")
        assert answer_of(raw)[0] == 422


def test_a_call_sent_ahead_keeps_its_body_while_earlier_ones_are_answered(server: Server) -> None:
    """All in one write: the body is there before the first answer is complete."""
    body = b'{"start_node": "a", "nodes": {"a": {"sleep": 1}}, "name": "%d"}'
    calls = [HEAD + b"\r\n"]
    for number in range(3):
        text = body % number
        calls += [POST + b"Authorization: Bearer t\r\nContent-Length: %d\r\n\r\n" % len(text) + text, HEAD + b"\r\n"]
    with connected(server.port) as raw:
        raw.sendall(b"".join(calls))
        statuses = [status for status, _ in islice(answers_of(raw), len(calls))]
    assert statuses == [200, 201, 200, 201, 200, 201, 200]


def test_a_refusal_that_waits_keeps_none_of_the_bytes_that_were_received() -> None:
    protocol = mock.Mock(_is_in_head=True)
    try:
        raise http.Refused(429, "too many")
    except http.Refused as refusal:
        http.HttpProtocol._stop_reading(protocol, refusal)
    assert (protocol._refusal.status, protocol._refusal.__traceback__) == (429, None)
