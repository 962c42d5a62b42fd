"""How SQLite answers a query: whether it searches indexes, and whether it sorts."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.dialects import sqlite

from service.store.database.sqlite.connections import Sqlite
from service.store.database.statements import ForRows, Statement
from tests.support.store.harness import sql

DIALECT = sqlite.dialect(paramstyle="named")

GIVEN = (
    *("SCAN family", "SCAN levels", "SCAN open", "SCAN 4 CONSTANT ROWS"),
    *(
        "SCAN counts",
        "SCAN failed LEFT-JOIN",
        "SCAN keys",
        "SCAN input_rows",
        "SCAN CONSTANT ROW",
        "SCAN 2 CONSTANT ROWS",
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
    ),
)
"""What is not in any table."""


def plans(database: Sqlite, text: str) -> list[list[str]]:
    """How SQLite answers, before ANALYZE and after."""
    parameters: Any = dict.fromkeys(re.findall(r":(\w+)", text), 0) or [0] * text.count("?")
    with sql(database) as connection:

        def plan() -> list[str]:
            return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", parameters)]

        before = plan()
        connection.execute("ANALYZE")
        return [before, plan()]


def text_of(query: Executable | Statement | ForRows) -> str:
    if isinstance(query, ForRows):
        return query.text("sqlite", 2)
    if isinstance(query, Statement):
        return query.text("sqlite")[0]
    clause: Any = query
    binds = clause.compile(dialect=DIALECT).binds
    values = {name: ["a", "b"] if bind.expanding else 0 for name, bind in binds.items() if bind.value is None}
    return str(clause.params(values).compile(dialect=DIALECT, compile_kwargs={"render_postcompile": True}))


def assert_searches(database: Sqlite, query: Any, *expected: str) -> None:
    for plan in plans(database, text_of(query)):
        scans = [
            line
            for line in plan
            if line.startswith("SCAN") and line not in GIVEN and not line.startswith(("SCAN anon_", "SCAN counted"))
        ]
        assert not scans, plan
        for line in expected:
            assert any(line in found for found in plan), (line, plan)


def assert_in_order(database: Sqlite, query: Any) -> None:
    for plan in plans(database, text_of(query)):
        assert not any("TEMP B-TREE" in line for line in plan), plan
