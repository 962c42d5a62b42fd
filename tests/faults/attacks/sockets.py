"""Attacks over WebSockets and event streams."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from tests.faults.attacks.clients import Caller, Target
from tests.faults.attacks.runs import chattered
from tests.support.rawsocket import PING, TEXT, deflated, frame, reset, streaming, upgrade

MIB = 2**20
WAITS = {"name": "waits", "start_node": "a", "nodes": {"a": {"signal": "go"}}}


def compressed_bombs(target: Target) -> None:
    """Messages of 15 MB, compressed to 15 kB, 200 on each connection."""
    run_id = target.start(target.create(WAITS))
    bomb = frame(TEXT, deflated(15 * MIB), compressed=True) * 20

    def act(_caller: Caller, _chance: random.Random) -> None:
        deflate = "permessage-deflate; client_max_window_bits=12"
        with streaming(target.port, run_id, extensions=deflate) as raw:
            for _ in range(10):
                raw.sendall(bomb)

    target.over_and_over(10, act)


def frames_and_pings(target: Target) -> None:
    """Frames without end, fragments of a message that never ends, and pings that ask for answers."""
    run_id = target.start(target.create(WAITS))
    kinds = [frame(PING, b"p" * 100) * 500, frame(TEXT, b"x", last=False) + frame(0, b"y" * 1000, last=False) * 100]

    def act(_caller: Caller, chance: random.Random) -> None:
        with streaming(target.port, run_id) as raw:
            frames = chance.choice(kinds)
            for _ in range(100):
                raw.sendall(frames)

    target.over_and_over(10, act)


def many_sockets(target: Target) -> None:
    """1,500 WebSockets on one run, each opened anew when it is closed."""
    run_id = target.start(target.create(WAITS))
    opened: list[socket.socket] = []
    while not target.is_over:
        if len(opened) < 1500:
            with suppress(OSError):
                raw = target.connect()
                raw.sendall(upgrade(run_id))
                opened.append(raw)
        else:
            reset(opened.pop(random.randrange(len(opened))))


def handshakes(target: Target) -> None:
    """Handshakes that are given up at once."""
    run_id = target.start(target.create(WAITS))

    def act(_caller: Caller, chance: random.Random) -> None:
        raw = target.connect()
        raw.sendall(upgrade(run_id))
        if chance.random() < 0.5:
            raw.recv(20)
        reset(raw)

    target.over_and_over(16, act)


def slow_sockets(target: Target) -> None:
    """400 WebSockets that do not read the 76 MB that their run has logged."""
    _read_slowly(target, 400, upgrade)


def slow_events(target: Target) -> None:
    """400 event streams likewise."""
    _read_slowly(target, 400, lambda run_id: target.request("GET", f"/runs/{run_id}/events"))


def _read_slowly(target: Target, count: int, request_of: Callable[[str], bytes]) -> None:
    run_id = chattered(target)
    opened: list[socket.socket] = []
    while not target.is_over:
        if len(opened) < count:
            with suppress(OSError):
                raw = target.connect(receive_bytes=2048)
                raw.sendall(request_of(run_id))
                opened.append(raw)
        else:
            time.sleep(0.2)
            reset(opened.pop(0))
