"""Run the command line in a process of its own, or in this process if the command only reads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import pytest

from service.cli.main import run_command
from tests.support.checkout import CHECKOUT
from tests.support.system.preloaded import Fork, can_fork

DEADLINE_S = 60.0

TOOLS = '''
import asyncio
from pathlib import Path
from service import tool

@tool
def bump(state, context):
    context.log("two\\nlines", n=state["n"])
    return {"n": state["n"] + 1}

@tool
async def wait(state, context):
    """Until there is a file `go`."""
    context.log("waiting")
    while not Path("go").exists():
        await asyncio.sleep(0.02)

@tool
def talk(state, context):
    for number in range(state["lines"]):
        context.log(f"line {number} " + "." * 50)

@tool
def fail():
    raise ValueError("this is broken")
'''

LOOP = (
    '{"name": "loop", "start_node": "a", "nodes": {"a": "bump"},'
    ' "edges": {"a": {"to": "a", "condition": {"key": "n", "op": "<", "value": 3}}}}'
)


def of(tool: str, **more: str) -> str:
    """A graph of one node that calls `tool`; `more` are members as JSON."""
    members = "".join(f', "{name}": {value}' for name, value in more.items())
    return f'{{"start_node": "a", "nodes": {{"a": "{tool}"}}{members}}}'


class Said(NamedTuple):
    code: int
    out: str
    err: str


Ask = Callable[..., Said]


def asking_in(folder: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """A command that loads no tools, in this process: several times as fast."""

    def ask(*arguments: str) -> Said:
        with pytest.MonkeyPatch.context() as patch:
            for name in list(os.environ):
                if name.startswith("RUNGRAPH_"):
                    patch.delenv(name)
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["rungraph", *arguments])
            try:
                code = run_command()
            except SystemExit as ended:  # argparse ends --help in this way.
                code = int(str(ended.code))
        return Said(code, *capsys.readouterr())

    return ask


def rungraph(folder: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command to its end."""
    with begun(folder, *arguments, **environment) as process:
        out, err = process.communicate(timeout=DEADLINE_S)
        return subprocess.CompletedProcess(arguments, process.wait(), out, err)


@contextmanager
def begun(folder: Path, *arguments: str | Path, **environment: str) -> Iterator[subprocess.Popen[str] | Fork]:
    """A command that goes on; killed at last if it still does, so that whoever reads from it is never stuck."""
    with _start(folder, [*map(str, arguments)], _environment(environment)) as process:
        deadline = threading.Timer(DEADLINE_S, process.kill)
        deadline.start()
        try:
            yield process
        finally:
            deadline.cancel()
            process.kill()


def _start(folder: Path, arguments: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[str] | Fork:
    command = [sys.executable, "-m", "service", *arguments]
    if can_fork(command, env):
        return Fork(command, cwd=folder, env=env, has_stderr=True)
    return subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith(("RUNGRAPH_", "PYTHON"))}
    return {**known, "PYTHONPATH": str(CHECKOUT), **given}


def read_until(stream: IO[str] | None, text: str) -> str:
    """The first line of `stream` with `text` in it; the stream's end is a failure."""
    assert stream is not None
    seen: list[str] = []
    for line in stream:
        seen.append(line)
        if text in line:
            return line
    raise AssertionError(f"no {text!r} in {seen}")
