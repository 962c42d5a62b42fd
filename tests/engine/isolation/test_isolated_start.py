"""How a process of an isolated tool comes to be: it finds what its server finds, or its calls wait and say why."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from service.core.moves import Failed, Succeeded
from service.core.tool import Tool
from service.engine.guard.lifeline import Lifeline
from service.engine.isolation import pool
from service.engine.isolation.launcher import Launcher, secrets_of
from service.server import engine_settings
from service.settings import Settings
from service.tools import registry
from tests.support.engine import hostile
from tests.support.engine.calls import COMMAND, Calls, in_calls
from tests.support.loading import nothing_loaded


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


def test_a_process_inherits_the_environment_without_the_secrets_of_its_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {"RUNGRAPH_API_TOKEN": "token", "RUNGRAPH_DATABASE_URL": "postgresql://user:password@host/db"}
    given = {"SHOP_TOKEN": "for the tool", "RUNGRAPH_DATA_DIR": str(tmp_path)}
    for name, value in {**secrets, **given}.items():
        monkeypatch.setenv(name, value)

    async def script(made: Calls) -> None:
        environment = (await made.returned("surroundings"))["environment"]
        assert given.items() <= environment.items()
        assert secrets.keys().isdisjoint(environment)

    in_calls(tmp_path, script)


@pytest.mark.parametrize(("is_shared", "is_secret"), [(False, False), (True, True)])
def test_a_password_of_libpq_is_secret_if_the_database_is_postgresql(
    monkeypatch: pytest.MonkeyPatch, is_shared: bool, is_secret: bool
) -> None:
    monkeypatch.setenv("PGPASSWORD", "password")
    lifeline = Lifeline()
    program = "import os, sys; sys.exit('PGPASSWORD' in os.environ)"
    launcher = Launcher.here([sys.executable, "-c", program], dict, secrets_of(is_shared))
    process, connection = launcher.start(lifeline)
    connection.close()
    assert process.wait() == (0 if is_secret else 1)
    lifeline.close()


def test_a_tool_that_the_process_lacks_is_missing(tmp_path: Path) -> None:
    async def script(made: Calls) -> None:
        outcome = await made.call("here_alone")
        assert isinstance(outcome, Failed)
        assert outcome.type == "tool_missing"
        nowhere = await made.call("nowhere")
        assert isinstance(nowhere, Failed)
        assert nowhere.type == "tool_missing"
        assert nowhere.message.startswith("no tool 'nowhere' is registered on this server")

    here_alone = Tool.of(hostile.place, "here_alone")
    in_calls(tmp_path, script, tools={**hostile.TOOLS, "here_alone": here_alone})


@pytest.mark.parametrize(
    ("command", "because"),
    [
        ((), "this server has no command that starts one"),
        (("/nowhere/python",), "[Errno 2] No such file or directory: '/nowhere/python'"),
        ((sys.executable, "-c", "import os; os._exit(7)"), "it ended with exit code 7"),
        ((sys.executable, "-c", "import os; os.write(0, b'?' * 64); os.read(0, 1)"), "it sent a malformed message"),
        (
            (sys.executable, "-m", "service", "isolated"),
            "the tools cannot be loaded: ModuleNotFoundError: No module named 'gone'",
        ),
    ],
    ids=["none", "no-program", "dies", "another", "bad-tools"],
)
def test_a_process_that_does_not_start_fails_no_attempt_and_the_next_one_makes_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    command: tuple[str, ...],
    because: str,
) -> None:
    monkeypatch.setattr(pool, "PAUSE_S_MIN", 0.01)
    monkeypatch.setattr(pool, "PAUSE_S_MAX", 0.02)
    monkeypatch.setattr(pool, "ISOLATED_MAX", 2)

    async def script(made: Calls) -> None:
        # More than there are slots: none of the processes keeps its own.
        waiting = [made.begin("place") for _ in range(2 if command[1:2] == ("-m",) else pool.ISOLATED_MAX + 1)]
        for call in waiting:
            await call.lines.until(f"the tool waits: no process for the tool could be started: {because}")
            assert (call.carrier.begun, call.task.done()) == (0, False)
        given_up = waiting.pop()
        given_up.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up.outcome()
        made.isolation._launcher = replace(made.isolation._launcher, command=COMMAND)
        for call in waiting:
            assert isinstance(await call.outcome(), Succeeded)
            assert call.carrier.begun == 1
        assert len(caplog.messages) == 1  # However often it was tried.

    in_calls(tmp_path, script, command=command, loads=lambda: {"folders": [], "code": {}, "modules": ["gone"]})


def test_processes_that_do_not_start_are_tried_one_at_a_time_and_less_and_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 9:
            enough.set()
        if len(pauses) >= 9:
            await asyncio.Event().wait()

    monkeypatch.setattr(pool, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))

    async def script(made: Calls) -> None:
        waiting = [made.begin("place") for _ in range(5)]
        await enough.wait()
        assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
        for call in waiting:
            call.task.cancel()

    in_calls(tmp_path, script, command=())


def kill_idle(made: Calls) -> None:
    (idle,) = made.isolation._idle
    assert idle._process is not None
    os.kill(idle._process.pid, signal.SIGKILL)


@pytest.mark.parametrize("source", ["theirs.py", "theirs"])
def test_a_process_runs_what_its_server_has_loaded_whatever_has_become_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs.py").write_text(
        "from service import tool\nfrom beside import N\nfrom package.inner import M\n"
        "@tool\ndef theirs(): return {'n': N + M, 'file': __file__}\n"
    )
    (tmp_path / "beside.py").write_text("N = 40\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "inner.py").write_text("M = 2\n")
    # Found only by who looks in the working directory before all else.
    for name in ("random", "service", "httpx"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not this one')")

    async def script(made: Calls) -> None:
        expected = {"n": 42, "file": str(tmp_path / "theirs.py")}
        assert await made.returned("theirs") == expected
        (tmp_path / "beside.py").write_text("N = 1\n")
        (tmp_path / "theirs.py").write_text("def half(")
        shutil.rmtree(tmp_path / "package")
        kill_idle(made)
        assert await made.returned("theirs") == expected
        (tmp_path / "theirs.py").unlink()
        kill_idle(made)
        assert await made.returned("theirs") == expected

    with nothing_loaded():
        settings = engine_settings(Settings(), tmp_path, registry.load([source], []))
        theirs = {"theirs": Tool.of(hostile.five, "theirs")}
        options = {"command": settings.isolated_command, "loads": settings.isolated_tools}
        in_calls(tmp_path, script, tools=theirs, **options)


def test_a_process_imports_neither_graphs_nor_their_validator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would take more time than the rest of its start."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "listing.py").write_text(
        "import sys\nfrom service import tool\n@tool\ndef modules(): return {'modules': list(sys.modules)}\n"
    )

    async def script(made: Calls) -> None:
        imported = (await made.returned("modules"))["modules"]
        assert "service.engine.isolation.main" in imported
        assert {"pydantic", "service.core.graph", "sqlalchemy", "fastapi", "duckdb"}.isdisjoint(imported)

    with nothing_loaded():
        settings = engine_settings(Settings(), tmp_path, registry.load(["listing.py"], []))
        options = {"command": settings.isolated_command, "loads": settings.isolated_tools}
        in_calls(tmp_path, script, tools={"modules": Tool.of(hostile.five, "modules")}, **options)
