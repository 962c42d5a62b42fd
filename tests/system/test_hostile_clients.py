"""Clients that mean harm, against whole servers: what they take of memory is bounded, and others are served."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.rawsocket import TEXT, closed_with, deflated, frame, frames, streaming
from tests.system.process import Server, running

MIB = 2**20
LOOP = {"start_node": "a", "nodes": {"a": {"signal": "go"}}}


def serve(folder: Path) -> Server:
    return Server(folder)


def uvicorn(folder: Path) -> Server:
    """The same application in a server of the user's own."""
    return Server(
        folder,
        command=(sys.executable, "-c", UVICORN),
        RUNGRAPH_DATABASE_URL=f"sqlite:///{folder / 'rungraph.db'}",
    )


UVICORN = """
import socket, uvicorn
from service.main import app
listener = socket.create_server(("127.0.0.1", 0))
print(f"Rungraph serves http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
"""


def memory(server: Server) -> int:
    """The most bytes that the server's process has held."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def port_of(server: Server) -> int:
    return int(server.url.rpartition(":")[2])


@pytest.mark.parametrize("start", [serve, uvicorn])
def test_messages_that_nobody_reads_are_not_kept(tmp_path: Path, start: Callable[[Path], Server]) -> None:
    server = start(tmp_path)
    bomb = frame(TEXT, deflated(15 * MIB), compressed=True)
    with running(server), ExitStack() as clients:
        run_id = server.run(server.create(LOOP))
        port, before = port_of(server), memory(server)
        deflate = "permessage-deflate; client_max_window_bits=12"
        sockets = [clients.enter_context(streaming(port, run_id, extensions=deflate)) for _ in range(5)]
        for raw in sockets:
            with suppress(OSError):
                raw.sendall(bomb * 200)
        assert [closed_with(frames(raw)) for raw in sockets] == [1008] * 5
        assert server.run(server.create(LOOP))
        assert memory(server) - before < 40 * MIB
        assert "Traceback" not in server.said
