"""A server from which a tool has taken what it needs goes on or ends, so that it can be started again."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.checkout import CHECKOUT
from tests.support.system.process import DEADLINE_S, Server, running, serving

TOOLS = CHECKOUT / "tests/support/system/breaking.py"
QUICK = "import sys; from service.engine.guard import watchdog; watchdog.LOOK_S = 0.1; watchdog.LOOKS_MAX = 20"
"""Two seconds in place of half a minute."""


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


def test_an_engine_without_http_ends_as_well(tmp_path: Path) -> None:
    with serving(tmp_path, tools=[TOOLS], what=("serve", "--port", "0", "--no-engine")) as api:
        api.run(api.create(node("closes", kind="eventpoll")))
    engine = quick(tmp_path, "engine")
    with running(engine):
        assert engine.process.wait(DEADLINE_S) != 0
        engine.output()


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
