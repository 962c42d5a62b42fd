"""The rules of the house that no other check enforces."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT

FILES_MAX, LINES_MAX, FUNCTION_LINES_MAX = 15, 400, 40
ROOMS = ("service", "tests", "benchmarks")
FILES = [file for room in ROOMS for file in sorted((CHECKOUT / room).rglob("*.py")) if ".envs" not in file.parts]
DATA = {CHECKOUT / "tests/example/cases"}
"""Folders of inputs, each of which is a case."""


def text_of(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def test_no_folder_has_too_many_files() -> None:
    counts = Counter(file.parent for file in FILES)
    assert {folder for folder, count in counts.items() if count > FILES_MAX and folder not in DATA} == set()


def test_no_file_is_too_long() -> None:
    assert [file for file in FILES if len(text_of(file).splitlines()) > LINES_MAX] == []


@pytest.mark.parametrize("room", ["service", "benchmarks"])
def test_no_function_is_too_long(room: str) -> None:
    found = []
    for file in FILES:
        if file.is_relative_to(CHECKOUT / room):
            for node in ast.walk(ast.parse(text_of(file))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    length = (node.end_lineno or 0) - node.lineno + 1
                    found += [(file.name, node.name, length)] if length > FUNCTION_LINES_MAX else []
    assert found == []


def test_packages_hand_names_on_and_define_nothing() -> None:
    defining = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    packages = [file for file in FILES if file.name == "__init__.py" and file.is_relative_to(CHECKOUT / "service")]
    assert [
        file for file in packages if any(isinstance(node, defining) for node in ast.walk(ast.parse(text_of(file))))
    ] == []


def test_no_test_module_imports_another() -> None:
    tests = [file for file in FILES if file.is_relative_to(CHECKOUT / "tests")]
    imports = [
        (file.name, node.module)
        for file in tests
        for node in ast.walk(ast.parse(text_of(file)))
        if isinstance(node, ast.ImportFrom) and ".test_" in (node.module or "")
    ]
    assert imports == []
