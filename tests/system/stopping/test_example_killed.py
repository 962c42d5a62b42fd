"""A server that is killed in each step of the example: its files are those of a run that nobody disturbed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from service.example import DATASETS
from tests.support.system.process import DEADLINE_S, Server, serving

ROWS = int(os.environ.get("RUNGRAPH_TEST_EXAMPLE_ROWS", "600"))
PLACES = tuple(
    os.environ.get("RUNGRAPH_TEST_EXAMPLE_PLACES", "1-table.parquet 1-repairs.parquet 2-table.parquet").split()
)
"""The server is killed as soon as such a file is there, in this order; `.1-table` is one that is being written."""


def begin(server: Server) -> str:
    content = b"".join(DATASETS["planes"].read_bytes().splitlines(keepends=True)[: ROWS + 1])
    answer = server.call("POST", "/demo/run_data_quality", content=content, headers={"content-type": "text/csv"})
    return str(answer.json()["run_id"])


def files(server: Server, run_id: str) -> dict[str, bytes]:
    folder = next(server.folder.rglob(run_id))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def kill_when_there(server: Server, run_id: str, place: str) -> None:
    """Kill the server when a file whose name begins with `place` is there, or will never be."""
    end = time.monotonic() + DEADLINE_S
    while not any(server.folder.rglob(f"{run_id}/{place}*")):
        assert time.monotonic() < end, place
        if place.startswith(".") and server.call("GET", f"/graph/state/{run_id}").json()["status"] == "completed":
            break
    server.kill()


def test_a_server_killed_in_each_step_changes_no_byte(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        whole = begin(server)
        server.follow(whole)
        killed = begin(server)
        for place in PLACES:
            kill_when_there(server, killed, place)
            server.start()
        run = server.follow(killed)
        assert run["status"] == "completed", run["error"]
        assert files(server, killed) == files(server, whole)
