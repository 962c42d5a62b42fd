"""A decision that asked a large value costs no copy of it, and still tells its reader all of it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from service.core.routing import conditions
from tests.support.engine.harness import running

LARGE = ["x" * 100_000, {"omitted": "no"}]


async def add(state: dict[str, Any]) -> None:
    state["n"] += 1


async def test_large_operands_are_stored_once_and_read_back_whole(tmp_path: Path) -> None:
    asked = {
        "all": [
            {"key": "large", "op": "contains", "value": {"omitted": "no"}},
            {"key": "n", "op": "in", "value": list(range(-5000, 20))},
        ]
    }
    document = {"start_node": "a", "nodes": {"a": "add"}, "edges": {"a": {"to": "a", "condition": asked}}}

    async with running(tmp_path, add) as bench:
        await bench.start("r", document, n=0, large=LARGE)
        await bench.over("r")
        steps = list((await bench.store.history.page("r", 0, 100)).items)
    assert len(steps) == 20
    for step in steps:
        (record,) = json.loads(step.evaluated)
        assert record["operands"] == {"large": LARGE, "n": step.step}
        assert record["condition"] == asked
        assert set(record) == {"to", "condition", "result", "operands"}
    with closing(sqlite3.connect(tmp_path / "rungraph.db")) as database:
        assert database.execute("SELECT max(length(evaluated)) < 1000 FROM snapshots").fetchone() == (1,)


async def test_edges_on_error_cost_no_copy_either(tmp_path: Path) -> None:
    """Each is asked of the state before the step, with the error's record at its own place, and is read back so."""
    large = {"key": "large", "op": "contains", "value": "nothing"}
    edges = [
        {
            "to": "a",
            "on_error": True,
            "into": "large",
            "condition": {"key": "large.type", "op": "!=", "value": "tool_error"},
        },
        *({"to": "a", "on_error": ["tool_error"], "condition": large} for _ in range(3)),
        {"to": "a", "on_error": ["timeout"], "condition": large},
        {
            "to": None,
            "on_error": True,
            "into": "oh",
            "condition": {"key": "large", "op": "contains", "value": LARGE[0]},
        },
    ]
    document = {"start_node": "a", "nodes": {"a": "fail"}, "edges": {"a": edges}}

    async def fail() -> None:
        raise ValueError("no " * 500)

    async with running(tmp_path, fail) as bench:
        await bench.start("r", document, large=LARGE)
        assert (await bench.over("r")).status == "completed"
        (step,) = (await bench.store.history.page("r", 0, 100)).items
    first, *others, last = json.loads(step.evaluated)
    assert first["operands"] == {"large.type": "tool_error"}
    assert [record["operands"] for record in (*others, last)] == [{"large": LARGE}] * 4
    assert [record["result"] for record in (first, *others, last)] == [False, False, False, False, True]
    with closing(sqlite3.connect(tmp_path / "rungraph.db")) as database:
        assert database.execute("SELECT max(length(evaluated)) < 2000 FROM snapshots").fetchone() == (1,)


async def test_of_very_much_that_was_asked_a_part_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "OPERANDS_BYTES_MAX", 150_000)
    asked = {"key": "large", "op": "contains", "value": "nothing"}
    edges = [{"to": "a", "condition": asked} for _ in range(4)]
    document = {"start_node": "a", "nodes": {"a": "add"}, "edges": {"a": edges}}

    async with running(tmp_path, add) as bench:
        await bench.start("r", document, n=0, large=LARGE)
        await bench.over("r")
        (step,) = (await bench.store.history.page("r", 0, 100)).items
    records = json.loads(step.evaluated)
    assert [record["operands"] for record in records] == [{"large": LARGE}, {"large": LARGE}, {}, {}]
    assert [record.get("omitted") for record in records] == [None, None, ["large"], ["large"]]
