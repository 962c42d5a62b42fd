"""Clients that leave at the wrong moment, and what the server's log says of it: nothing."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
import pytest

from tests.support.api.harness import Server, eventually
from tests.support.profile import repeat
from tests.support.rawsocket import (
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    closed_with,
    connected,
    frame,
    frames,
    reset,
    streaming,
    upgrade,
)

LOGGERS = ("", "uvicorn.error", "asyncio", "service")
MOMENTS_S = (0, 0.001, 0.003, 0.01)
"""How long after the handshake a client leaves: before it is answered, or after."""

GOODBYES = {
    "close": frame(CLOSE, b"\x03\xe8"),
    "close without a code": frame(CLOSE),
    "close with half a code": frame(CLOSE, b"\x03"),
    "close with an invalid code": frame(CLOSE, b"\x00\x01"),
    "close with a reserved code": frame(CLOSE, b"\x03\xed"),
    "close with a reason that is no UTF-8": frame(CLOSE, b"\x03\xe8\xff\xfe"),
    "close twice": frame(CLOSE, b"\x03\xe8") * 2,
    "close and go on": frame(CLOSE, b"\x03\xe8") + frame(TEXT, b"more") * 10,
    "close within a message": frame(TEXT, b"a", last=False) + frame(CLOSE, b"\x03\xe8"),
    "close that is too long": frame(CLOSE, b"\x03\xe8" + bytes(200)),
    "unmasked": frame(TEXT, b"abc", masked=False),
    "no frame": b"\xff" * 100,
    "reserved opcode": frame(5, b"abc"),
    "text that is no UTF-8": frame(TEXT, b"\xff\xfe\xfd"),
    "continuation of nothing": frame(CONTINUATION, b"abc"),
    "compressed without having asked": frame(TEXT, b"abc", compressed=True),
    "half a frame": frame(PING, b"abc")[:4],
    "too much": frame(TEXT, bytes(2**20)),
}


def end(raw: socket.socket) -> None:
    with suppress(OSError):  # The server may have ended it.
        raw.shutdown(socket.SHUT_WR)


LEAVES: dict[str, Callable[[socket.socket], None]] = {
    "waits": lambda _raw: None,
    "ends": end,
    "closes": lambda raw: raw.close(),
    "resets": reset,
}


class Recording(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the server logs at WARNING and above."""
    recording = Recording()
    for name in LOGGERS:
        logging.getLogger(name).addHandler(recording)
    try:
        yield recording.said
    finally:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(recording)


def forgotten(server: Server) -> None:
    """Wait until no call is left."""
    eventually(lambda: not server.uvicorn.server_state.tasks, 20)


def quiet(server: Server, said: list[str]) -> None:
    forgotten(server)
    assert said == []


@pytest.mark.parametrize("leave", LEAVES)
def test_goodbyes_to_a_quiet_stream(server: Server, client: httpx.Client, said: list[str], leave: str) -> None:
    for goodbye in GOODBYES.values():
        run_id = server.start(client)
        with streaming(server.port, run_id) as raw:
            raw.sendall(goodbye)
            LEAVES[leave](raw)
            if leave == "waits":
                server.drive(run_id).finish()
                closed_with(frames(raw))
        quiet(server, said)


@pytest.mark.parametrize("leave", ["ends", "closes", "resets"])
@pytest.mark.parametrize("goodbye", ["", "close", "no frame", "text that is no UTF-8", "too much"])
def test_leaving_around_the_handshake(
    server: Server, client: httpx.Client, said: list[str], goodbye: str, leave: str
) -> None:
    over = server.start(client)
    server.drive(over).finish()
    for run_id in (server.start(client), over, "unknown"):
        for moment_s in MOMENTS_S:
            with connected(server.port) as raw:
                raw.sendall(upgrade(run_id))
                with suppress(OSError):
                    raw.sendall(GOODBYES.get(goodbye, b""))
                    time.sleep(moment_s)
                LEAVES[leave](raw)
    quiet(server, said)


@pytest.mark.parametrize("leave", ["waits", "closes", "resets"])
def test_leaving_while_lines_are_sent(server: Server, client: httpx.Client, said: list[str], leave: str) -> None:
    """More lines than all buffers take: the server waits for its reader when the client leaves."""
    run_id = server.start(client)
    driven = server.drive(run_id)
    for _ in range(4):
        driven.log(*["z" * 100] * 100, data='{"x": "' + "y" * 16_000 + '"}')
    driven.finish()
    # To read all lines each time takes half a second; on a quiet stream all goodbyes are said in each way.
    for goodbye in list(GOODBYES.values())[:: repeat(6, 1) if leave == "waits" else 1]:
        with streaming(server.port, run_id) as raw:
            reading = frames(raw)
            next(reading)
            with suppress(OSError):
                raw.sendall(goodbye)
            if leave == "waits":
                closed_with(reading)
            reading.close()
            LEAVES[leave](raw)
        quiet(server, said)


@pytest.mark.parametrize("goodbye", ["close", "close with an invalid code", "no frame", "too much"])
def test_leaving_as_the_run_ends(server: Server, client: httpx.Client, said: list[str], goodbye: str) -> None:
    for _ in range(10):
        run_id = server.start(client)
        driven = server.drive(run_id)
        with streaming(server.port, run_id) as raw:
            driven.finish()
            with suppress(OSError):
                raw.sendall(GOODBYES[goodbye])
                closed_with(frames(raw))
                raw.sendall(GOODBYES[goodbye])
    quiet(server, said)


@pytest.mark.parametrize("leave", ["ends", "closes", "resets"])
@pytest.mark.parametrize("path", ["/runs/{}/events", "/graph/state/{}", "/runs/{}/logs", "/nothing"])
def test_leaving_other_calls(server: Server, client: httpx.Client, said: list[str], path: str, leave: str) -> None:
    run_id = server.start(client, big="x" * 900_000)
    driven = server.drive(run_id)
    driven.log(*["z" * 100] * 200, data='{"x": "' + "y" * 16_000 + '"}')
    for moment_s in MOMENTS_S:
        with connected(server.port) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.sendall(f"GET {path.format(run_id)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            time.sleep(moment_s)
            driven.log("another line")
            LEAVES[leave](raw)
    driven.finish()
    quiet(server, said)
