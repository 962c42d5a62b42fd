"""How a process of an isolated tool comes to be: it finds what its server finds, or the attempt fails and says why."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from service.core.moves import Failed
from service.core.tool import Tool
from service.engine import process
from service.engine.isolation import ISOLATED_MAX
from service.main import engine_settings
from service.settings import Settings
from tests.engine import hostile
from tests.engine.calls import Calls, in_calls


def test_a_process_finds_what_its_server_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "/given")

    async def script(made: Calls) -> None:
        monkeypatch.chdir("/")  # It is where it was when the server started.
        seen = await made.returned("surroundings")
        expected = list(dict.fromkeys(entry or here for entry in sys.path))
        assert seen["path"][: len(expected)] == expected
        assert (seen["folder"], seen["PYTHONPATH"]) == (here, "/given")
        assert (seen["sockets"], seen["inherited"]) == (1, 0)

    here = os.getcwd()
    in_calls(tmp_path, script)


def test_a_tool_that_the_process_lacks_is_missing(tmp_path: Path) -> None:
    async def script(made: Calls) -> None:
        outcome = await made.call("here_alone")
        assert isinstance(outcome, Failed)
        assert outcome.type == "tool_missing"
        assert await made.call("nowhere") == Failed("tool_missing", "no tool 'nowhere' is registered on this server")

    here_alone = Tool.of(hostile.place, "here_alone")
    in_calls(tmp_path, script, tools={**hostile.TOOLS, "here_alone": here_alone})


@pytest.mark.parametrize(
    ("command", "because"),
    [
        ((), "this server was told no command that starts one"),
        (("/nowhere/python",), "[Errno 2] No such file or directory: '/nowhere/python'"),
        ((sys.executable, "-c", "import os; os._exit(7)"), "it ended with exit code 7"),
        ((sys.executable, "-c", "import os; os.write(0, b'?' * 64); os.read(0, 1)"), "it said what makes no sense"),
        ((sys.executable, "-m", "service", "isolated", "bad.py"), "tools 'bad.py' cannot be loaded: ValueError: worse"),
    ],
    ids=["none", "no-program", "dies", "another", "bad-tools"],
)
def test_a_process_that_does_not_start_fails_the_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], because: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text("raise ValueError('worse')")
    monkeypatch.setattr(process, "START_S", 10)

    async def script(made: Calls) -> None:
        for _ in range(ISOLATED_MAX + 1):  # None of them keeps its slot.
            call = made.begin("place")
            outcome = await call.outcome()
            assert isinstance(outcome, Failed)
            assert (outcome.type, call.carrier.begun) == ("tool_error", 0)
            assert outcome.message.startswith(f"no process for the tool could be started: {because}")
            if command[1:2] == ("-m",):
                break  # It takes its time.

    in_calls(tmp_path, script, command=command)


@pytest.mark.parametrize("source", ["theirs.py", "theirs"])
def test_a_users_tools_are_loaded_by_the_servers_own_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs.py").write_text("from service import tool\n@tool\ndef theirs(): return {'n': 42}\n")
    # Found only by who looks in the working directory first, which this server does not.
    (tmp_path / "random.py").write_text("raise ImportError('not this one')")
    settings = engine_settings(Settings(tools=(source,)), tmp_path)

    async def script(made: Calls) -> None:
        assert await made.returned("theirs") == {"n": 42}

    theirs = {"theirs": Tool.of(hostile.five, "theirs")}
    in_calls(tmp_path, script, tools=theirs, command=settings.isolated_command)
