"""Stopping, and readers that do not read: nothing waits for a client."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from service.api import stop
from service.api.connections.descriptors import CONNECTIONS_MAX
from service.api.responses.large_answers import LARGE_BYTES_MIN, LargeAnswers
from service.api.responses.rendering import Json
from tests.support.api.harness import Server, eventually, serving

CSV = (
    b"POST /demo/run_data_quality HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: 999\r\n\r\na"
)
UPGRADE = (
    "GET /ws/logs/{} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
GET = "GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextmanager
def mute(server: Server, request: str | bytes) -> Iterator[socket.socket]:
    """A client that sends `request`, and then reads nothing."""
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", server.port))
        raw.sendall(request if isinstance(request, bytes) else request.encode())
        yield raw


def much_to_read(server: Server, client: httpx.Client) -> str:
    """A run that goes on, with more lines and more state than all buffers take."""
    run_id = server.start(client, big="x" * 900_000)
    driven = server.drive(run_id)
    line = json.dumps({"x": "y" * 16_000})
    for _ in range(3):
        driven.log(*["z" * 100] * 200, data=line)
    driven.step(big=["x" * 900_000] * 10, n=-1)
    return run_id


def unread(server: Server) -> int:
    """How many connections have output that nobody takes."""
    return sum(transport.get_write_buffer_size() > 0 for transport in list(server.services.stop._transports))


@pytest.fixture(scope="module")
def much(server: Server, client: httpx.Client) -> str:
    return much_to_read(server, client)


@pytest.mark.parametrize("path", ["ws", "/runs/{}/events", "/graph/state/{}", "/runs/{}/files/big.csv"])
def test_a_reader_that_stops_reading_is_dropped(
    server: Server, much: str, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(stop, "SEND_TIMEOUT_S", 0.3)
    run_id = much
    folder = server.runs_folder / run_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "big.csv").write_bytes(b"x" * 20 * 2**20)
    request = UPGRADE.format(run_id) if path == "ws" else GET.format(path.format(run_id))
    with mute(server, request) as raw:
        eventually(lambda: unread(server))
        eventually(lambda: not unread(server))
        assert received(raw) < 8 * 2**20


def received(raw: socket.socket) -> int:
    """How many bytes still come until the connection ends."""
    raw.settimeout(60)
    count = 0
    with suppress(ConnectionError):
        while piece := raw.recv(2**16):
            count += len(piece)
    return count


def test_a_stop_closes_websockets_with_1012_and_ends_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.store.queries.tail.POLL_S", 60.0)  # No tail finds the stop by itself.
    monkeypatch.setattr(stop, "STOP_GRACE_S", 60.0)
    with serving(tmp_path) as server, server.client() as client:
        run_id = server.start(client)
        with (
            connect(f"ws://127.0.0.1:{server.port}/ws/logs/{run_id}", proxy=None) as following,
            client.stream("GET", f"/runs/{run_id}/events") as events,
        ):
            server.services.stop.set()
            server.services.stop.set()  # Once more changes nothing.
            with pytest.raises(ConnectionClosed) as closed:
                following.recv(60)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
            assert list(events.iter_raw()) == []


def test_a_stop_waits_for_no_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop, "SEND_TIMEOUT_S", 600.0)  # On a busy machine one would be dropped before another is full.
    with serving(tmp_path) as server, server.client() as client:
        run_id = much_to_read(server, client)
        quiet = server.start(client)
        with (
            mute(server, UPGRADE.format(run_id)),
            mute(server, UPGRADE.format(quiet)),
            mute(server, GET.format(f"/runs/{run_id}/events")),
            mute(server, GET.format(f"/runs/{quiet}/events")),
            mute(server, GET.format(f"/graph/state/{run_id}")),
            mute(server, CSV),
            mute(server, CSV[:50]),
        ):
            eventually(lambda: unread(server) == 3)
            eventually(lambda: len(list(server.runs_folder.glob("*/upload.csv"))) == 1)
            server.stop_as_a_signal_does()
            # Those clients go on for good: a stop that waited for one of them would never end.
            eventually(server.loop.is_closed)
        assert not list(server.runs_folder.glob("*"))


async def test_an_answer_of_which_each_connection_may_hold_one_counts_as_large() -> None:
    large = LargeAnswers()
    answer = Json({"text": "x" * LARGE_BYTES_MIN})
    held: list[int] = []

    async def receive() -> Any:
        raise AssertionError

    async def send(_message: Any) -> None:
        held.append(large.held_bytes)

    scope = {"type": "http", "app": SimpleNamespace(state=SimpleNamespace(large_answers=large))}
    await answer(scope, receive, send)
    assert held == [len(answer.body)] * 2
    assert large.held_bytes == 0
    assert CONNECTIONS_MAX * LARGE_BYTES_MIN <= 2**27


def test_large_answers_to_slow_readers_are_bounded(
    server: Server, client: httpx.Client, much: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = much
    size = len(client.get(f"/graph/state/{run_id}").content)
    large = server.app.state.large_answers
    assert large.held_bytes == 0
    monkeypatch.setattr("service.api.responses.large_answers.HELD_BYTES_MAX", 3 * size)
    with ExitStack() as readers:
        for _ in range(3):
            readers.enter_context(mute(server, GET.format(f"/graph/state/{run_id}")))
        eventually(lambda: large.held_bytes == 3 * size)
        refused = client.get(f"/graph/state/{run_id}")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "slow readers" in refused.json()["detail"]
        assert client.head(f"/graph/state/{run_id}").status_code == 503
        assert client.get(f"/runs/{run_id}/why").status_code == 200
    eventually(lambda: not large.held_bytes)
    assert client.get(f"/graph/state/{run_id}").status_code == 200
