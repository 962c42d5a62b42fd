"""What tools fork and start under a real server: no copy of it survives, and whoever comes next finds its port free."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.engine.calls import is_alive, until_dead
from tests.support.system.process import Server, running, serving, until

TOOLS = CHECKOUT / "tests/support/system/forking.py"
FORKING = ("forks", "forks_twice", "forks_by_multiprocessing", "forks_a_pool", "forks_awaiting")


def node(tool: str, **options: Any) -> dict[str, Any]:
    return {"start_node": "a", "nodes": {"a": {"tool": tool, **options}}}


def left_by(server: Server, tool: str, **options: Any) -> list[int]:
    """The processes that a run of `tool` has left behind, which has to complete."""
    run_id = server.run(server.create(node(tool, **options)))
    assert server.follow(run_id)["status"] == "completed"
    lines = server.call("GET", f"/runs/{run_id}/logs").json()["items"]
    (left,) = [line["data"]["pids"] for line in lines if line["message"] == "left"]
    return [int(pid) for pid in left]


def opened(pid: int) -> Iterator[str]:
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # A program that begins opens files and closes them again.
            yield os.readlink(f"/proc/{pid}/fd/{name}")


def listening(pid: int) -> set[str]:
    """The sockets on which a process listens."""
    table = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    ours = {f"socket:[{fields[9]}]" for line in table if (fields := line.split())[3] == "0A"}
    return ours & set(opened(pid))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return int(unused.getsockname()[1])


def end(server: Server, how: signal.Signals) -> None:
    if how is signal.SIGKILL:
        server.kill()
    else:
        assert server.stop() == 0


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path, tools=[TOOLS], what=("serve", "--port", str(free_port())))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_child_of_a_fork_outlives_its_server_and_the_port_is_free_again(server: Server, how: signal.Signals) -> None:
    with running(server):
        left = [pid for tool in FORKING for pid in left_by(server, tool)]
        assert len(left) == 6
        assert all(is_alive(pid) for pid in left)
        [daemon] = left_by(server, "becomes_a_daemon")
        try:
            end(server, how)
            until_dead(*left)
            server.start()
            assert server.follow(server.run(server.create(node("noop"))))["state"] == {"ok": True}
            # It outlives the server, and is no copy of it: it has one thread, its tool's, and no file.
            assert len(os.listdir(f"/proc/{daemon}/task")) == 1
            assert list(opened(daemon)) == []
        finally:
            os.kill(daemon, signal.SIGKILL)


def test_a_child_of_a_fork_holds_none_of_its_servers_files(server: Server) -> None:
    with running(server):
        ours = listening(server.process.pid)
        assert len(ours) == 1
        for tool in FORKING:
            for pid in left_by(server, tool):
                assert not [name for name in opened(pid) if name in ours or "rungraph.db" in name], tool
                assert not listening(pid)


def test_a_program_that_a_tool_starts_is_its_own_and_inherits_nothing(server: Server) -> None:
    with running(server):
        ours = listening(server.process.pid)
        left = left_by(server, "starts")
        try:
            for pid in left:
                assert not [name for name in opened(pid) if name in ours or "rungraph.db" in name]
            server.kill()
            server.start()
            assert all(is_alive(pid) for pid in left)
        finally:
            for pid in left:
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_all_that_an_isolated_tool_starts_ends_with_the_server(server: Server, how: signal.Signals) -> None:
    with running(server):
        left = [pid for tool in ("forks", "starts", "forks_a_pool") for pid in left_by(server, tool, isolate=True)]
        assert len(left) == 5
        end(server, how)
        until_dead(*left)


@pytest.mark.parametrize(("how", "code"), [("returns", 0), ("exits", 7), ("raises", 1)])
def test_a_child_that_comes_back_from_its_tool_ends_there(server: Server, how: str, code: int) -> None:
    with running(server):
        for isolate in (False, True):
            run = server.follow(
                server.run(server.create(node("comes_back_twice", metadata={"how": how}, isolate=isolate)))
            )
            assert (run["status"], run["state"]) == ("completed", {"code": code})
            assert [line["event"] for line in run["logs"]] == ["run_started", "step_completed", "run_completed"]
        assert ("the child's own" in server.said) == (how == "raises")
        assert copies_of(server) == []


@pytest.mark.parametrize("how", ["returns", "awaits", "in a task"])
def test_a_child_that_an_async_tool_forks_does_not_go_on_with_its_parents_loop(server: Server, how: str) -> None:
    with running(server):
        run = server.follow(server.run(server.create(node("comes_back_twice_awaiting", metadata={"how": how}))))
        assert (run["status"], run["state"]) == ("completed", {"ended": True})
        assert server.follow(server.run(server.create(node("noop"))))["state"] == {"ok": True}
        assert copies_of(server) == []


def test_a_signal_for_a_child_is_no_signal_for_its_server(tmp_path: Path) -> None:
    with serving(tmp_path, tools=[TOOLS], what=("serve", "--port", "0", "--no-engine")) as api:
        run_ids = [api.run(api.create(node("terminates_its_child"))) for _ in range(3)]
    with (
        serving(tmp_path, tools=[TOOLS], what=("engine",)) as engine,
        closing(sqlite3.connect(engine.database)) as database,
    ):

        def is_over() -> bool:
            (unfinished,) = database.execute("SELECT count(*) FROM v_runs WHERE status <> 'completed'").fetchone()
            return bool(unfinished == 0)

        until(is_over)
        assert engine.process.poll() is None
        codes = [
            database.execute("SELECT state FROM v_states WHERE run_id = ? AND step = 1", (run_id,)).fetchone()[0]
            for run_id in run_ids
        ]
        assert [json.loads(code) for code in codes] == [{"code": -signal.SIGTERM}] * 3
        assert engine.stop() == 0


def copies_of(server: Server) -> list[int]:
    """The processes that a server's tools have left as its children."""
    command = ("ps", "-o", "pid=,args=", "--ppid", str(server.process.pid))
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return [int(line.split()[0]) for line in listed if " isolated" not in line and "<defunct>" not in line]
