"""Attacks before any request is complete; none needs a token."""

from __future__ import annotations

import random
import socket
import time
from contextlib import suppress

from tests.faults.attacks.clients import Caller, Target

PIECE = b"x" * 2**16


def header_lines(target: Target) -> None:
    """22 MB of header lines on each connection."""
    _pour(target, b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"a: b\r\n" * 10_000, 370)


def endless_header(target: Target) -> None:
    """One header that does not end."""
    _pour(target, b"GET / HTTP/1.1\r\nHost: localhost\r\nA: ", PIECE, 1000)


def endless_url(target: Target) -> None:
    _pour(target, b"GET /", PIECE, 1000)


def slow_heads(target: Target) -> None:
    """A byte of a header a second on each of 1,000 connections."""
    sockets = _open(target, 1000, b"GET / HTTP/1.1\r\nHost: localhost\r\nA: ")
    while not target.is_over:
        for raw in sockets:
            with suppress(OSError):
                raw.send(b"x")
        time.sleep(1)


def idle_connections(target: Target) -> None:
    """1,300 connections that say nothing, or half a word; each that is closed is opened anew."""
    sockets: list[socket.socket] = []
    while not target.is_over:
        sockets += _open(target, 1300 - len(sockets), b"" if len(sockets) % 2 else b"GE")
        time.sleep(0.5)
        sockets = [raw for raw in sockets if not _is_closed(raw)]


def new_connections(target: Target) -> None:
    """Connections one after the other, as fast as they can be made, more than may be open."""

    def act(_caller: Caller, _chance: random.Random) -> None:
        for raw in _open(target, 500, b"GET /livez HTTP/1.1\r\n"):
            raw.close()

    target.over_and_over(8, act)


def pipelines(target: Target) -> None:
    """10,000 requests ahead of their answers, which nobody reads."""
    request = target.request("GET", "/openapi.json") * 100

    def act(_caller: Caller, _chance: random.Random) -> None:
        with target.connect(receive_bytes=4096) as raw:
            for _ in range(100):
                raw.sendall(request)

    target.over_and_over(16, act)


def _pour(target: Target, opening: bytes, piece: bytes, pieces: int) -> None:
    def act(_caller: Caller, _chance: random.Random) -> None:
        with target.connect() as raw:
            raw.sendall(opening)
            for _ in range(pieces):
                raw.sendall(piece)

    target.over_and_over(16, act)


def _open(target: Target, count: int, opening: bytes) -> list[socket.socket]:
    opened: list[socket.socket] = []
    for _ in range(count):
        with suppress(OSError):
            raw = target.connect(timeout_s=2)
            opened.append(raw)
            raw.sendall(opening)
    return opened


def _is_closed(raw: socket.socket) -> bool:
    raw.setblocking(False)
    try:
        return raw.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
