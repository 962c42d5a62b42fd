"""Clients that mean harm, against whole servers: what they take of memory is bounded, and others are served."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.rawsocket import TEXT, closed_with, connected, deflated, frame, frames, streaming
from tests.support.system.process import Server, running, until

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


def limited(descriptors: int) -> tuple[str, ...]:
    """A command that executes another one, which may have so many files open."""
    return ("bash", "-c", f'ulimit -n {descriptors} && exec "$@"', "bash")


OPENS_FILES = """
from service import tool

@tool
def read(state):
    files = [open(__file__) for _ in range(20)]
    for file in files:
        file.close()
    return {"n": state["n"] + 1}
"""

READS = {
    "start_node": "a",
    "nodes": {"a": "read"},
    "edges": {"a": {"to": "a", "condition": {"key": "n", "op": "<", "value": 20}}},
}


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


def test_connections_leave_descriptors_to_the_tools(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(OPENS_FILES)
    server = Server(tmp_path, tools=["tools.py"], within=limited(256))
    with running(server), ExitStack() as clients:
        graph_id, port = server.create(READS), port_of(server)
        run_ids = []
        for number in range(300):
            raw = clients.enter_context(connected(port))
            raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n"[: number % 40])
            if number % 60 == 59:
                run_ids.append(server.run(graph_id, n=0))
        assert [server.follow(run_id)["status"] for run_id in run_ids] == ["completed"] * 5
        assert len(list(Path(f"/proc/{server.process.pid}/fd").iterdir())) < 200
        assert "Traceback" not in server.said
        assert server.said.count("as many as may be") < 30


def test_descriptors_that_run_out_all_the_same_do_not_fill_the_log(tmp_path: Path) -> None:
    """In a server of the user's own, which takes connections without end."""
    server = Server(
        tmp_path,
        command=(*limited(100), sys.executable, "-c", UVICORN),
        RUNGRAPH_DATABASE_URL=f"sqlite:///{tmp_path / 'rungraph.db'}",
    )
    with running(server):
        with ExitStack() as clients:
            for _ in range(200):
                clients.enter_context(connected(port_of(server)))
            until(lambda: "out of system resource" in server.said)
            # The second one says how many it stands for.
            until(lambda: "more of this kind" in server.said)
            assert server.said.count("out of system resource") < 10
        until(lambda: server.ask("GET", "/livez").status_code == 200)


def test_heads_without_end_are_not_kept(tmp_path: Path) -> None:
    server = Server(tmp_path, RUNGRAPH_API_TOKEN="t")
    with running(server), ExitStack() as clients:
        port, before = port_of(server), memory(server)
        for opening, going_on in (
            (b"GET / HTTP/1.1\r\n", b"a: b\r\n" * 10_000),
            (b"GET / HTTP/1.1\r\nA: ", b"x" * 2**16),
            (b"GET /", b"x" * 2**16),
            (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n" * 10_000),
        ):
            for _ in range(5):
                raw = clients.enter_context(connected(port))
                with suppress(OSError):
                    raw.sendall(opening)
                    for _ in range(100):
                        raw.sendall(going_on)
        answer = server.call("GET", "/runs", headers={"Authorization": "Bearer t"})
        assert answer.status_code == 200
        assert memory(server) - before < 40 * MIB
        assert server.said.count("\n") < 20


def test_a_prefix_that_a_proxy_strips_is_an_option(tmp_path: Path) -> None:
    server = Server(tmp_path, what=("serve", "--port", "0", "--root-path", "/flows"))
    with running(server):
        assert server.call("GET", "/openapi.json").json()["servers"] == [{"url": "/flows"}]
        answer = server.call("POST", "/demo/run_data_quality")
        assert answer.headers["location"].startswith("/flows/graph/state/")


UPLOAD = (
    b"POST /demo/run_data_quality HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: 999\r\n\r\na"
)


def test_a_kill_during_an_upload_leaves_nothing_after_the_next_start(tmp_path: Path) -> None:
    server = Server(tmp_path)
    with running(server), connected(port_of(server)) as raw:
        raw.sendall(UPLOAD)
        until(lambda: list(tmp_path.glob("*/runs/*/upload.csv")))
        server.kill()
    with running(server):
        assert server.call("GET", "/livez").status_code == 200
        assert not list(tmp_path.glob("*/runs/*"))
        assert not list(tmp_path.glob("*/unfinished/*"))
