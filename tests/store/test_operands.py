"""A decision that asked a large value costs no copy of it, and still tells its reader all of it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

from tests.engine.harness import running

LARGE = ["x" * 100_000, {"omitted": "no"}]


async def add(state: dict[str, Any]) -> None:
    state["n"] += 1


def test_large_operands_are_stored_once_and_read_back_whole(tmp_path: Path) -> None:
    asked = {
        "all": [
            {"key": "large", "op": "contains", "value": {"omitted": "no"}},
            {"key": "n", "op": "in", "value": list(range(-5000, 20))},
        ]
    }
    document = {"start_node": "a", "nodes": {"a": "add"}, "edges": {"a": {"to": "a", "condition": asked}}}

    async def script() -> list[Any]:
        async with running(tmp_path, add) as bench:
            await bench.start("r", document, n=0, large=LARGE)
            await bench.over("r")
            return list((await bench.store.history.page("r", 0, 100)).items)

    steps = asyncio.run(script())
    assert len(steps) == 20
    for step in steps:
        (record,) = json.loads(step.evaluated)
        assert record["operands"] == {"large": LARGE, "n": step.step}
        assert record["condition"] == asked
        assert set(record) == {"to", "condition", "result", "operands"}
    with sqlite3.connect(tmp_path / "rungraph.db") as database:
        assert database.execute("SELECT max(length(evaluated)) < 1000 FROM snapshots").fetchone() == (1,)
