"""A server from which a tool has taken what it needs goes on or ends, so that it can be started again."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.checkout import CHECKOUT
from tests.support.system.process import DEADLINE_S, Server, running, serving, until

TOOLS = CHECKOUT / "tests/support/system/breaking.py"
QUICK = "import sys; from service.engine.guard import watchdog; watchdog.LOOK_S = 0.1; watchdog.LOOKS_MAX = 20"
"""Two seconds in place of half a minute."""


USELESS = (
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGXCPU),
    *(signal.SIGPIPE, signal.SIGXFSZ, signal.SIGIO, signal.SIGRTMIN + 3, signal.SIGRTMAX),
)
LOGGED = ("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGXCPU", f"signal {signal.SIGRTMIN + 3}")
"""Python ignores SIGPIPE and SIGXFSZ itself."""


def quick(folder: Path, *arguments: str) -> Server:
    argv = ["rungraph", *arguments, "--tools", str(TOOLS)]
    code = f"{QUICK}; sys.argv[:] = {argv}; from service.cli import main; main()"
    return Server(folder, command=(sys.executable, "-c", code))


def node(tool: str, **metadata: Any) -> dict[str, Any]:
    return {"start_node": "a", "nodes": {"a": {"tool": tool, "metadata": metadata}}}


@pytest.mark.parametrize(
    ("tool", "metadata"),
    [
        ("takes_away", {"builtins": ["open"]}),
        ("takes_away", {"builtins": ["Exception", "OSError"]}),
        ("takes_all_away", {}),
        ("closes_all", {"first": 3}),
        ("closes_all", {"first": 0}),
        ("closes", {"kind": "eventpoll", "first": 1, "count": 1}),
        ("closes", {"kind": "rungraph.db"}),
        ("closes", {"kind": "socket:"}),
    ],
    ids=str,
)
def test_a_server_that_cannot_work_any_more_ends_and_the_next_one_goes_on(
    tmp_path: Path, tool: str, metadata: dict[str, Any]
) -> None:
    server = quick(tmp_path, "serve", "--port", "0")
    with running(server):
        after = server.create(node("noop"))
        breaking = server.create(node(tool, **metadata))
        with suppress(httpx.TransportError):  # It may end before it answers.
            server.run(breaking)
        assert server.process.wait(DEADLINE_S) != 0
        server.output()
        server.start()
        assert server.follow(server.run(after))["state"] == {"ok": True}


def test_a_server_goes_on_after_a_tool_has_set_limits_and_timers_and_sent_it_signals(tmp_path: Path) -> None:
    server = quick(tmp_path, "serve", "--port", "0")
    with running(server):
        signalling = node("sends_itself_signals", signals=USELESS * 2)
        assert server.follow(server.run(server.create(signalling)))["status"] == "completed"
        signalling["nodes"]["a"]["isolate"] = True
        assert "SIGUSR1" in server.follow(server.run(server.create(signalling)))["error"]["message"]

        breaking, after = (server.create(node(tool)) for tool in ("sets_limits_and_timers", "noop"))
        server.run(breaking)

        def is_over() -> bool:
            with suppress(httpx.TransportError):
                answer = server.ask(
                    "POST", "/graph/run", json={"graph_id": after, "initial_state": {"x": "y" * 99_999}}
                )
                if answer.status_code == 202:
                    read = server.ask("GET", f"/graph/state/{answer.json()['run_id']}")  # It may be 503 for a moment.
                    return read.status_code == 200 and read.json()["state"].get("ok") is True
            return False

        until(is_over)
        until(lambda: all(f"sent {name}, perhaps" in server.said for name in LOGGED))
        assert server.said.count("sent SIGUSR1") == 1
        assert server.process.poll() is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a mapped file may not be truncated")
def test_a_server_whose_index_of_the_log_is_truncated_says_so_as_it_ends(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.follow(server.run(server.create({"start_node": "a", "nodes": {"a": {"sleep": 0.01}}})))
        os.truncate(f"{server.database}-shm", 0)
        with suppress(httpx.TransportError):
            server.ask("GET", "/readyz")
        assert server.process.wait(DEADLINE_S) == -signal.SIGBUS
        # A second thread that meets the end of the index cuts the message off: `Fatal Python error: Bus error`.
        assert "Fatal Python error" in server.output()


def test_an_engine_without_http_ends_as_well(tmp_path: Path) -> None:
    with serving(tmp_path, tools=[TOOLS], what=("serve", "--port", "0", "--no-engine")) as api:
        api.run(api.create(node("closes", kind="eventpoll")))
    engine = quick(tmp_path, "engine")
    engine.launch()  # It may end before it says that it is ready.
    try:
        assert engine.process.wait(DEADLINE_S) != 0
    finally:
        engine.kill()


def test_a_server_that_is_stopped_as_a_whole_is_well_when_it_goes_on(tmp_path: Path) -> None:
    server = quick(tmp_path, "serve", "--port", "0")
    with running(server):
        server.freeze()
        time.sleep(3)  # Longer than it may be without work.
        server.thaw()
        assert server.follow(server.run(server.create(node("noop"))))["state"] == {"ok": True}
        assert "could not work" not in server.said


def test_a_tool_that_blocks_is_no_reason_to_end(tmp_path: Path) -> None:
    server = quick(tmp_path, "serve", "--port", "0")
    with running(server):
        run_ids = [server.run(server.create(node(tool, seconds=3))) for tool in ("blocks", "blocks_its_loop")]
        assert [server.follow(run_id)["status"] for run_id in run_ids] == ["completed"] * 2
        assert "could not work" not in server.said


def test_while_an_async_tool_blocks_runs_of_all_other_kinds_are_started_and_completed(tmp_path: Path) -> None:
    with serving(tmp_path, tools=[TOOLS]) as server:
        blocked = server.run(server.create(node("blocks_its_loop", seconds=600)))
        limited = server.run(server.create(limit(node("blocks_its_loop", seconds=600), 1)))
        until(lambda: "blocks all async tools" in server.ask("GET", f"/runs/{blocked}/why").json()["because"])
        wanted = f"waits for the async tool 'blocks_its_loop' of run {blocked}"
        child = server.create(node("noop"))
        kinds: list[Any] = [
            {"tool": "noop"},
            {"tool": "noop", "isolate": True},
            {"sleep": 0.01},
            {"graph": child, "into": "child"},
        ]
        for kind in kinds:
            run = server.follow(server.run(server.create({"start_node": "a", "nodes": {"a": kind}})))
            assert run["status"] == "completed"
        signal = server.run(server.create({"start_node": "a", "nodes": {"a": {"signal": "go"}}}))
        server.call("POST", f"/runs/{signal}/signals/go", json=1)
        assert server.follow(signal)["status"] == "completed"
        assert server.follow(limited)["error"]["type"] == "timeout"
        behind = server.run(server.create(node("blocks_its_loop", seconds=0)))
        until(lambda: wanted in server.ask("GET", f"/runs/{behind}/why").json()["because"])
        note = f"the async tool 'blocks_its_loop' of run {blocked} blocks all async tools"
        assert server.call("GET", "/readyz").json() == {"status": "ok", "note": note}
        server.call("POST", f"/runs/{blocked}/cancel")
        assert server.follow(blocked)["status"] == "cancelled"
        assert server.stop() == 0


def limit(document: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    document["nodes"]["a"]["timeout_s"] = timeout_s
    return document
