"""A process that is killed at any write of any step changes no byte of what the run leaves."""

from __future__ import annotations

import os
import signal
from itertools import count
from pathlib import Path

from service.example import initial_state
from service.example.tables.database import forget
from tests.support.dirty_table import as_csv, dirty_table
from tests.support.example import Attempt, Walk
from tests.support.profile import repeat

WRITES_APART = repeat(6, 1)
"""How many writes of a step are between two kills; the first write of each step is killed in any case."""


def start(folder: Path) -> Walk:
    folder.mkdir()
    (folder / "upload.csv").write_text(as_csv(dirty_table()))
    return Walk(Attempt(folder), initial_state({"kind": "csv", "file": "upload.csv"}, 0, {"allow": ["fill"]}))


def is_killed_at(write: int, walk: Walk, node: str) -> bool:
    """Take a step in a process of its own, which is killed when it puts its file number `write` in place."""
    forget(walk.attempt.folder)  # A forked process has none of DuckDB's threads.
    child = os.fork()
    if child == 0:
        _take_and_die(write, walk, node)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status == signal.SIGKILL


def _take_and_die(write: int, walk: Walk, node: str) -> None:
    put, number = os.replace, count()

    def put_or_die(source: Path, target: Path) -> None:
        if next(number) == write:
            os.kill(os.getpid(), signal.SIGKILL)
        put(source, target)

    os.replace = put_or_die  # type: ignore[assignment]
    code = 1
    try:
        walk.outcome(node)
        code = 0
    finally:
        os._exit(code)


def test_a_kill_at_any_write_changes_no_byte(tmp_path: Path) -> None:
    killed: list[str] = []

    def take(walk: Walk, node: str) -> None:
        for write in count(step=WRITES_APART):
            if not is_killed_at(write, walk, node):
                return
            killed.append(node)

    whole = start(tmp_path / "whole").to_the_end()
    walk = start(tmp_path / "killed")
    walk.before_each = take
    walk.to_the_end()
    assert walk.state == whole.state
    assert walk.nodes.count("apply") >= 2
    assert [node for node in walk.nodes if node != "generate"] == [
        node for node, other in zip(killed, [*killed[1:], None], strict=True) if node != other
    ]
    assert files(walk) == files(whole)
    assert not [path for path in (tmp_path / "killed").iterdir() if path.name.startswith(".")]


def files(walk: Walk) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in walk.attempt.folder.iterdir()}
