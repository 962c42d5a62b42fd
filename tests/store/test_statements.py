"""The SQL of every statement is checked in, so that a change of it shows in a diff."""

from __future__ import annotations

import ast
from pathlib import Path

from service import store
from tests.store.statements.texts import FOLDER, files

BUILDERS = {"select", "update", "insert", "delete", "text", "union_all"}


def test_the_sql_that_is_checked_in_is_what_the_statements_compile_to() -> None:
    stored = {str(file.relative_to(FOLDER)): file.read_text() for file in FOLDER.rglob("*.sql")}
    assert stored == files(), "run `python -m tests.store.statements` and look at the diff"


def test_no_statement_is_built_where_the_walk_does_not_find_it() -> None:
    """In a class or a coroutine it would be built for each call; at the level of its module it has a name."""
    rooms = [file for room in ("commands", "queries", "rows") for file in Path(store.__path__[0], room).glob("*.py")]
    assert rooms
    hidden = [
        f"{file.name}:{call.lineno}"
        for file in rooms
        for place in ast.walk(ast.parse(file.read_text()))
        if isinstance(place, ast.ClassDef | ast.AsyncFunctionDef)
        for call in ast.walk(place)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in BUILDERS
    ]
    assert not hidden
