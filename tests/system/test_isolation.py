"""Isolated tools under a real server: what they do to their processes, and what becomes of these, it never notices."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tests.support.checkout import CHECKOUT
from tests.support.engine.calls import until_dead
from tests.support.system.process import Server, serving, until

TOOLS = CHECKOUT / "tests/support/system/tools.py"


def node(tool: str, **options: Any) -> dict[str, Any]:
    return {"start_node": "a", "nodes": {"a": {"tool": tool, "isolate": True, **options}}}


def children(server: Server) -> list[int]:
    """The processes that it has started itself."""
    command = ("ps", "-o", "pid=", "--ppid", str(server.process.pid))
    return [int(pid) for pid in subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()]


def begun(server: Server, document: dict[str, Any]) -> tuple[str, int]:
    """A run of it, and the process in which its tool has begun."""
    run_id = server.run(server.create(document))

    def said() -> list[int]:
        lines = server.call("GET", f"/runs/{run_id}/logs").json()["items"]
        return [line["data"]["pid"] for line in lines if line["message"] == "spinning"]

    until(said)
    return run_id, said()[0]


def test_a_server_takes_no_notice_of_what_isolated_tools_do(tmp_path: Path) -> None:
    with serving(tmp_path, tools=[TOOLS]) as server:
        crashed = server.follow(server.run(server.create(node("crash"))))
        assert crashed["error"]["type"] == "tool_error"
        assert "SIGSEGV" in crashed["error"]["message"]
        late = server.follow(server.run(server.create(node("spin", timeout_s=0.2))))
        assert late["error"]["type"] == "timeout"
        counted = server.follow(server.run(server.create(node("count_on_a_thread")), n=2**64))
        assert counted["state"] == {"n": 2**64 + 1}

        run_id, pid = begun(server, node("spin"))
        assert server.call("POST", f"/runs/{run_id}/cancel").status_code == 202
        until_dead(pid)
        assert server.call("GET", f"/graph/state/{run_id}").json()["status"] == "cancelled"
        left = children(server)
        assert server.stop() == 0
        until_dead(*left)


def test_the_processes_of_a_killed_server_end_and_the_next_one_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path, tools=[TOOLS]) as server:
        run_id, pid = begun(server, node("spin"))
        server.kill()
        until_dead(pid)
    with serving(tmp_path, tools=[TOOLS]) as server:
        assert server.call("POST", f"/runs/{run_id}/cancel").status_code == 202
