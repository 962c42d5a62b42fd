"""A database that is locked or a disk that is full: a wait or a 503, never a failed run."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.system.process import DEADLINE_S, Server, serving

TOOLS = Path(__file__).with_name("tools.py")


def ask(server: Server, method: str, path: str, **arguments: object) -> httpx.Response:
    """Like `Server.call`, a 503 being an answer here."""
    answer = httpx.request(method, server.url + path, timeout=30, trust_env=False, **arguments)  # type: ignore[arg-type]  # passed on as they are
    assert answer.status_code < 500 or answer.status_code == 503, answer.text
    return answer


def test_a_locked_database_delays_runs_and_refuses_starts(tmp_path: Path) -> None:
    with serving(tmp_path, tools=[TOOLS]) as server:
        again = {"condition": {"key": "n", "op": "<", "value": 200}}
        graph = server.create({"start_node": "a", "nodes": {"a": "add_slowly"}, "edges": {"a": [{"to": "a", **again}]}})
        run = server.run(graph, n=0)
        locker = sqlite3.connect(tmp_path / "rungraph.db", isolation_level=None, timeout=10)
        locker.execute("BEGIN IMMEDIATE")
        refused = ask(server, "POST", "/graph/run", json={"graph_id": graph, "initial_state": {"n": 0}})
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["content-type"] == "application/problem+json"
        assert ask(server, "GET", "/readyz").status_code == 503
        assert ask(server, "GET", "/livez").status_code == 200
        assert ask(server, "GET", f"/graph/state/{run}").status_code == 200
        locker.execute("ROLLBACK")
        assert server.follow(run)["status"] == "completed"
        assert ask(server, "GET", "/readyz").status_code == 200
        assert len(server.call("GET", "/runs").json()["items"]) == 1
        locker.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_turns_readiness_red_and_runs_go_on_when_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(4 * 2**20))
    with serving(small_disk, tools=[TOOLS]) as server:
        again = {"condition": {"key": "n", "op": "<", "value": 30}}
        graph = server.create({"start_node": "a", "nodes": {"a": "fill"}, "edges": {"a": [{"to": "a", **again}]}})
        run = server.run(graph, n=0)
        _until(lambda: ask(server, "GET", "/readyz").status_code == 503)
        refused = ask(server, "POST", "/graph/run", json={"graph_id": graph, "initial_state": {"n": 0}})
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        os.unlink(ballast)
        assert server.follow(run)["status"] == "completed"
        _until(lambda: ask(server, "GET", "/readyz").status_code == 200)


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)
