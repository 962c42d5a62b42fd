"""The client of S5: one request again and again over some connections, each waiting for its answer before the next.

    python -m peers.client PORT PATH REQUESTS CONNECTIONS < BODY

Nothing but sockets under an asyncio protocol, so that it is not what limits the servers: a request costs it
about 26 µs of processor time, and a server that does nothing answers it more than 20,000 times a second. A tenth
more than REQUESTS is asked beforehand, to warm the server up.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time


class Connection(asyncio.Protocol):
    def __init__(self, request: bytes, load: Load) -> None:
        self._request = request
        self._load = load
        self._buffer = b""
        self._asked_at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        if not head.startswith(b"HTTP/1.1 2"):
            self._load.fail(self._buffer.decode(errors="replace"))
            return
        self._buffer = body[_length(head) :]
        self._load.took.append(time.perf_counter() - self._asked_at)
        self._ask()

    def connection_lost(self, _: Exception | None) -> None:
        self._load.leave()

    def _ask(self) -> None:
        assert self._transport is not None
        if not self._load.left:
            self._transport.close()
            return
        self._load.left -= 1
        self._asked_at = time.perf_counter()
        self._transport.write(self._request)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise SystemExit(f"an answer without a length: {head!r}")


class Load:
    """So many requests over so many connections."""

    def __init__(self, requests: int, connections: int) -> None:
        self.left = requests
        self.took: list[float] = []
        self._open = connections
        self._over = asyncio.get_running_loop().create_future()

    async def run(self, port: int, request: bytes) -> float:
        begun = time.perf_counter()
        for _ in range(self._open):
            await asyncio.get_running_loop().create_connection(lambda: Connection(request, self), "127.0.0.1", port)
        await self._over
        return time.perf_counter() - begun

    def leave(self) -> None:
        self._open -= 1
        if not self._open and not self._over.done():
            self._over.set_result(None)

    def fail(self, answer: str) -> None:
        if not self._over.done():
            self._over.set_exception(SystemExit(f"refused: {answer[:1000]}"))


async def measure(port: int, path: str, requests: int, connections: int, body: bytes) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    request = head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    await Load(max(requests // 10, 1), connections).run(port, request)
    load = Load(requests, connections)
    seconds = await load.run(port, request)
    if len(load.took) != requests:
        raise SystemExit(f"{len(load.took)} answers to {requests} requests")
    took = sorted(load.took)
    shown = {"p50_ms": took[requests // 2] * 1000, "p99_ms": took[requests * 99 // 100] * 1000}
    print(json.dumps({"seconds": seconds, **shown}))


if __name__ == "__main__":
    port, path, requests, connections = sys.argv[1:]
    asyncio.run(measure(int(port), path, int(requests), int(connections), sys.stdin.buffer.read()))
