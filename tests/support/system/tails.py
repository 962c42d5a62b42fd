"""Follow a run's lines as a client does: over a WebSocket, or as server-sent events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import connect

from tests.support.system.process import Server

Line = dict[str, Any]
Tail = Callable[[Server, str, int], Iterator[Line]]


def lines_of_websocket(server: Server, run_id: str, after_seq: int = 0) -> Iterator[Line]:
    """What the WebSocket sends until the server closes it with 1000."""
    address = server.url.replace("http", "ws")
    # Without a bound on what it keeps unread, since a client at its bound does not hear that it may close.
    with connect(f"{address}/ws/logs/{run_id}?after_seq={after_seq}", max_queue=None) as tail:
        while True:
            try:
                yield json.loads(tail.recv(30))
            except ConnectionClosedOK:
                assert tail.close_code == 1000
                return


def lines_of_events(server: Server, run_id: str, after_seq: int = 0) -> Iterator[Line]:
    """What the stream of events sends until the server ends it; the `id` of each is its seq."""
    url, headers = f"{server.url}/runs/{run_id}/events", {"last-event-id": str(after_seq)}
    with httpx.stream("GET", url, headers=headers, timeout=60, trust_env=False, verify=False) as answer:
        assert answer.status_code in (200, 204)
        seq = None
        for text in answer.iter_lines():
            if text.startswith("id: "):
                seq = int(text.removeprefix("id: "))
            elif text.startswith("data: "):
                line: Line = json.loads(text.removeprefix("data: "))
                assert line["seq"] == seq
                yield line


def lines_cut(tail: Tail, server: Server, run_id: str, every: int) -> list[Line]:
    """All lines of a run as a client sees them whose connection is cut after every `every` lines."""
    seen: list[Line] = []
    while True:
        before = len(seen)
        for line in tail(server, run_id, seen[-1]["seq"] if seen else 0):
            seen.append(line)
            if len(seen) == before + every:
                break
        else:
            return seen
