"""The comparison of a database with what clients were told finds what is missing, doubled or full of holes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine.harness import running
from tests.support.faults.checks import Found, compare
from tests.support.faults.graphs import GRAPHS, STEPS
from tests.support.faults.ledger import Ledger


async def count(state: dict[str, Any]) -> dict[str, Any]:
    return {"n": state["n"] + 1}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A completed run that counts, of the key that its tag names."""

    async def script() -> None:
        async with running(tmp_path, count) as bench:
            await bench.start("r", GRAPHS["loop"], n=0)
            await bench.over("r")

    asyncio.run(script())
    file = tmp_path / "rungraph.db"
    _change(file, """UPDATE runs SET tags = '{"key":"loop 1"}'""")
    return file


def _change(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def _found(file: Path, tell: Callable[[Ledger], object] = lambda _: None) -> Found:
    ledger = Ledger(runs={"loop 1": "r"})
    tell(ledger)
    return compare(file, ledger)


def test_a_whole_run_has_nothing_wrong(database: Path) -> None:
    assert not _found(database, lambda ledger: ledger.lines.update(r=[(1, "started at count")]))


@pytest.mark.parametrize(
    "tell",
    [
        lambda ledger: ledger.runs.update({"loop 2": "s"}),
        lambda ledger: ledger.cancelled.add("r"),
        lambda ledger: ledger.signalled.add("r"),
        lambda ledger: ledger.lines.update(r=[(1, "something else")]),
        lambda ledger: ledger.lines.update(r=[(number, "too many") for number in range(1, 200)]),
    ],
)
def test_what_was_acknowledged_and_is_not_there_is_lost(database: Path, tell: Callable[[Ledger], object]) -> None:
    assert _found(database, tell).lost


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        (f"DELETE FROM snapshots WHERE step = {STEPS}", "holes"),
        ("DELETE FROM snapshots WHERE step = 3", "holes"),
        ("DELETE FROM log_lines WHERE seq = 3", "holes"),
        ("UPDATE snapshots SET next_node = 'other' WHERE step = 3", "holes"),
        ("UPDATE changes SET value = '99' WHERE step = (SELECT max(step) FROM changes)", "doubled"),
        ("UPDATE log_lines SET event = 'run_completed' WHERE seq = 3", "doubled"),
        ("UPDATE log_lines SET step = 2 WHERE step = 3", "doubled"),
        ("UPDATE snapshots SET lease_token = 9 WHERE step = 3", "doubled"),
        ("UPDATE runs SET status = 'queued', due_at = moved_at, current_node = 'count', finished_at = NULL", "lost"),
    ],
)
def test_a_broken_history_is_seen(database: Path, statement: str, what: str) -> None:
    _change(database, statement)
    assert getattr(_found(database), what)
