"""A database that is locked or a disk that is full: a wait or a 503, never a failed run."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.system.process import serving, until

TOOLS = CHECKOUT / "tests/support/system/tools.py"


def test_a_locked_database_delays_runs_and_refuses_starts(tmp_path: Path) -> None:
    with serving(tmp_path, tools=[TOOLS]) as server:
        again = {"condition": {"key": "n", "op": "<", "value": 200}}
        graph = server.create({"start_node": "a", "nodes": {"a": "add_slowly"}, "edges": {"a": [{"to": "a", **again}]}})
        run = server.run(graph, n=0)
        locker = sqlite3.connect(tmp_path / "rungraph.db", isolation_level=None, timeout=60)
        locker.execute("BEGIN IMMEDIATE")
        refused = server.ask("POST", "/graph/run", json={"graph_id": graph, "initial_state": {"n": 0}})
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["content-type"] == "application/problem+json"
        assert server.ask("GET", "/readyz").status_code == 503
        assert server.ask("GET", "/livez").status_code == 200
        assert server.ask("GET", f"/graph/state/{run}").status_code == 200
        locker.execute("ROLLBACK")
        assert server.follow(run)["status"] == "completed"
        assert server.ask("GET", "/readyz").status_code == 200
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
        until(lambda: server.ask("GET", "/readyz").status_code == 503)
        refused = server.ask("POST", "/graph/run", json={"graph_id": graph, "initial_state": {"n": 0}})
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        os.unlink(ballast)
        assert server.follow(run)["status"] == "completed"
        until(lambda: server.ask("GET", "/readyz").status_code == 200)


@pytest.mark.parametrize("suffixes", [("", "-wal", "-shm"), ("-wal",)], ids=["all", "log"])
def test_files_that_are_removed_turn_readiness_red(suffixes: tuple[str, ...], tmp_path: Path) -> None:
    with serving(tmp_path, tools=[TOOLS]) as server:
        again = {"condition": {"key": "n", "op": "<", "value": 10_000}}
        graph = server.create({"start_node": "a", "nodes": {"a": "add_slowly"}, "edges": {"a": [{"to": "a", **again}]}})
        run = server.run(graph, n=0)
        for suffix in suffixes:
            (tmp_path / f"rungraph.db{suffix}").unlink()
        until(lambda: "start it again" in server.said)
        red = server.ask("GET", "/readyz")
        assert red.status_code == 503
        assert "removed" in red.text
        for method, path in (("GET", f"/graph/state/{run}"), ("GET", "/runs"), ("POST", f"/runs/{run}/cancel")):
            assert server.ask(method, path).status_code == 503
        refused = server.ask("POST", "/graph/run", json={"graph_id": graph, "initial_state": {"n": 0}})
        assert refused.status_code == 503
        assert server.ask("GET", "/livez").status_code == 200
        assert server.said.count("CRITICAL") == 1
        server.kill()
        if "" not in suffixes:  # Then all that was acknowledged is in the file itself.
            server.start()
            assert server.call("GET", f"/graph/state/{run}").json()["status"] in ("running", "queued")


def test_a_tool_that_copies_the_database_costs_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, tools=[TOOLS]) as server:
        graph = server.create({"start_node": "a", "nodes": {"a": "copy_database"}})
        assert server.follow(server.run(graph))["status"] == "completed"
        read = "import sqlite3; sqlite3.connect('rungraph.db').execute('SELECT 1 FROM runs').fetchone()"
        subprocess.run([sys.executable, "-c", read], cwd=tmp_path, check=True)
        runs = [server.run(graph) for _ in range(5)]
        server.kill()
        server.start()
        for run in runs:
            assert server.follow(run)["status"] == "completed"
