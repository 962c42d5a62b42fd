"""Declaring tools, and what is said where a user's cannot be loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service import tool
from service.core.errors import StartRefused
from service.core.tool import Tool
from service.tools import registry
from tests.support.loading import nothing_loaded


@pytest.fixture(autouse=True)
def loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with nothing_loaded():
        yield


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text("from service import tool\n" + text)
    return str(path)


def test_a_tool_stays_the_function_that_it_was() -> None:
    @tool
    def add(state: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
        """Add one."""
        return {"n": state["n"] + metadata.get("by", 1)}

    @tool(name="other")
    async def named(context: Any) -> None: ...

    tools = registry.load([], [])
    assert add({"n": 1}, {}) == {"n": 2}
    assert (tools["add"].description, tools["add"].parameters, tools["add"].is_async) == (
        "Add one.",
        ("state", "metadata"),
        False,
    )
    assert (tools["other"].parameters, tools["other"].is_async) == (("context",), True)


def test_files_and_modules_are_loaded_once(tmp_path: Path) -> None:
    file = write(tmp_path, "one.py", "@tool\ndef one(): ...\n")
    write(tmp_path, "a_module_of_tools.py", "@tool\ndef two(): ...\n")
    for _ in range(2):
        assert set(registry.load([file, "a_module_of_tools", file, "one"], [])) == {"one", "two"}


def test_each_source_is_known_with_how_many_tools_it_has(tmp_path: Path) -> None:
    write(tmp_path, "two.py", "@tool\ndef one(): ...\n@tool\ndef two(): ...\n")
    write(tmp_path, "facade.py", "import two\n")
    write(tmp_path, "none.py", "def forgotten(): ...\n")
    for _ in range(2):
        sources = registry.load(["facade", "two.py", "none.py"], []).sources
        assert [(each.name, each.tools) for each in sources] == [("facade", 2), ("two.py", 2), ("none.py", 0)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "@tool\ndef add(): ...\n@tool\ndef add(): ...\n",
            "two tools have the name 'add': add (mine.py:2) and add (mine.py:4)",
        ),
        ("@tool\ndef built_in(): ...\n", "two tools have the name 'built_in'"),
        ("import os\nos.environ['NO_SUCH']\n", "KeyError: 'NO_SUCH' (mine.py:3)"),
        ("def connect():\n    raise OSError(5, 'no')\nconnect()\n", "OSError: [Errno 5] no (mine.py:3, in connect)"),
        ("assert False\n", "AssertionError (mine.py:2)"),
        ("raise SystemExit(3)\n", "SystemExit: 3 (mine.py:2)"),
        ("import asyncio\nraise asyncio.CancelledError\n", "CancelledError (mine.py:3)"),
        ("class E(Exception):\n    __str__ = None\nraise E\n", "E: (TypeError in its message) (mine.py:4)"),
        (
            "raise ExceptionGroup('all', [KeyError('a')])\n",
            "all (1 sub-exception), the first being KeyError: 'a' (mine",
        ),
        ("raise ValueError('two\\nlines')\n", "ValueError: two lines (mine.py:2)"),
        ("import no_such_module\n", "No module named 'no_such_module' (mine.py:2)"),
        ("from service import no_such_name\n", "cannot import name 'no_such_name' from 'service'"),
        ("import broken\n", "SyntaxError: '(' was never closed (broken.py:1)"),
        ("import circular\n", "cannot import name 'late' from partially initialized module 'mine'"),
        ("def\n", "SyntaxError: invalid syntax (mine.py:2)"),
        ("  x = 1\n", "IndentationError: unexpected indent (mine.py:2)"),
        ("x = '\0'\n", "source code string cannot contain null bytes"),
        ("@tool\ndef wrong(other): ...\n", "TypeError: tool 'wrong' takes 'other'; a tool may take"),
        ("@tool\ndef wrong():\n    yield\n", "is a generator; a tool must return a dict or None (mine.py:2)"),
        ("@tool(name=5)\ndef wrong(): ...\n", "a tool's name must be a string, not 5 (mine.py:2)"),
        ("@tool(name='')\ndef wrong(): ...\n", "a tool's name must not be empty (mine.py:2)"),
        ("@tool('add')\ndef wrong(): ...\n", "@tool(name='add') (mine.py:2)"),
        ("class A:\n    @tool\n    def wrong(self, state): ...\n", "takes 'self'"),
    ],
)
def test_what_cannot_be_a_registry_stops_the_server_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setattr("service.core.traces._HERE", tmp_path)
    (tmp_path / "broken.py").write_text("x = (\n")
    (tmp_path / "circular.py").write_text("from mine import late\n")

    def built_in() -> None: ...

    with pytest.raises(StartRefused) as refused:
        registry.load([write(tmp_path, "mine.py", text)], [Tool.of(built_in)])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("missing.py", "there is no file /"),
        ("no.such.module", "there is no module 'no' in /"),
        ("package.no_such", "there is no module 'package.no_such' in /"),
        ("mine", "there is no module 'mine'"),
        ("dir/mine", "there is no module 'dir/mine'; did you mean dir/mine.py?"),
        ("os,json", "there is no module 'os,json'; give each module in a --tools of its own"),
        ("", "the name is empty; give FILE.py or package.module"),
        ("two.py,three.py", "two.py,three.py; give each file in a --tools of its own"),
        ("package/__init__", "did you mean package/__init__.py?"),
        ("package/__init__:add", "did you mean package/__init__.py?"),
        ("package/__init__.py ", "did you mean package/__init__.py?"),
        ("plain.txt", "plain.txt is a file, and a file of tools has a name that ends in .py"),
        ("..", "relative import"),
        ("nul\0.py", "embedded null "),
        ("dir.py", "dir.py is not a file"),
        ("dir", "it is a folder; name a file in it"),
        ("secret.py", "secret.py"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, source: str, said: str) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir.py").mkdir()
    (tmp_path / "dir" / "mine.py").touch()
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "plain.txt").touch()
    (tmp_path / "secret.py").symlink_to("nowhere.py")
    with pytest.raises(StartRefused, match="cannot be loaded") as refused:
        registry.load([source], [])
    assert said in str(refused.value)
