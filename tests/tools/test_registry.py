"""Declaring tools and loading the files of users."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from service import tool
from service.core.errors import StartRefused
from service.core.tool import Tool
from service.tools import registry


@pytest.fixture(autouse=True)
def nothing_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_declared", [])


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


def test_files_and_modules_are_loaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, "one.py", "@tool\ndef one(): ...\n")
    write(tmp_path, "a_module_of_tools.py", "@tool\ndef two(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    for _ in range(2):
        assert set(registry.load([file, "a_module_of_tools", file], [])) == {"one", "two"}
    del sys.modules["a_module_of_tools"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@tool\ndef add(): ...\n@tool\ndef add(): ...\n", "two tools have the name 'add'"),
        ("@tool\ndef built_in(): ...\n", "two tools have the name 'built_in'"),
        ("raise ValueError('broken')\n", "ValueError: broken"),
        ("@tool\ndef wrong(other): ...\n", "takes 'other'"),
        ("@tool\ndef wrong():\n    yield\n", "generator"),
        ("def\n", "SyntaxError"),
    ],
)
def test_what_cannot_be_a_registry_stops_the_server(tmp_path: Path, text: str, said: str) -> None:
    def built_in() -> None: ...

    with pytest.raises(StartRefused, match=said):
        registry.load([write(tmp_path, "tools.py", text)], [Tool.of(built_in)])


@pytest.mark.parametrize("source", ["missing.py", "no.such.module", "", "..", "nul\0.py"])
def test_what_is_not_there_is_named(source: str) -> None:
    with pytest.raises(StartRefused, match="cannot be loaded"):
        registry.load([source], [])
