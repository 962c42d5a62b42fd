"""SIGTERM: whatever tools and clients do, the process ends and nothing is lost."""

from __future__ import annotations

import socket
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from service import process
from tests.support.checkout import CHECKOUT
from tests.support.system.process import DEADLINE_S, Server, serving

TOOLS = CHECKOUT / "tests/support/system/tools.py"
STEPS = 1000
"""More than a server makes until it is stopped."""


def mute(server: Server, request: str) -> socket.socket:
    """A client that sends `request` and never reads: its buffers fill."""
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    connection = socket.create_connection((host, int(port)))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(f"{request}\r\nHost: {host}:{port}\r\n".encode())
    return connection


def test_a_stop_waits_for_no_client_and_no_tool(tmp_path: Path) -> None:
    with serving(tmp_path, tools=[TOOLS]) as server:
        again = {"condition": {"key": "n", "op": "<", "value": STEPS}}
        loop = server.create({"start_node": "a", "nodes": {"a": "add"}, "edges": {"a": [{"to": "a", **again}]}})
        busy = server.run(loop, n=0)
        asleep = server.run(server.create({"start_node": "a", "nodes": {"a": "sleep_long"}}))
        handshake = (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        silent = [mute(server, f"GET /ws/logs/{busy} HTTP/1.1"), mute(server, f"GET /runs/{busy}/events HTTP/1.1")]
        silent[0].sendall(handshake.encode())
        silent[1].sendall(b"\r\n")
        half_sent = mute(server, "POST /graph/create HTTP/1.1")
        half_sent.sendall(b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
        address = server.url.replace("http", "ws")
        with (
            connect(f"{address}/ws/logs/{asleep}") as tail,
            httpx.stream("GET", f"{server.url}/runs/{asleep}/events", timeout=60, trust_env=False) as events,
        ):
            assert "run_started" in str(tail.recv(60))
            streamed = events.iter_lines()
            assert "run_started" in next(streamed) + next(streamed)
            # Clients and tools go on for longer than a test waits: a stop that waited for them would not end.
            code = server.stop()
            with pytest.raises(ConnectionClosed):
                list(iter(tail.recv, None))
            assert tail.close_code == 1012
        assert code == 0
        for client in (*silent, half_sent):
            client.close()

        with closing(sqlite3.connect(server.database)) as database:
            (before,) = database.execute("SELECT step FROM runs WHERE id = ?", (busy,)).fetchone()
        assert 0 < before < STEPS
        server.start()
        assert server.call("GET", f"/graph/state/{asleep}").json()["status"] in ("queued", "running")
        assert server.follow(busy, until=["completed"])["step"] == STEPS


def test_a_stop_ends_the_process_at_last_though_a_tool_has_replaced_the_start_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(process, "LAST_RESORT_S", 0.0)
    monkeypatch.setattr(process, "_exit", lambda _code: ended.set())
    monkeypatch.setattr(threading.Thread, "start", lambda _thread: None)
    process.end_at_last()
    assert ended.wait(DEADLINE_S)
