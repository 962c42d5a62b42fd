"""A backup that is made under load restores to a database in which every run acknowledged before it is whole.

`BACKUPS=20 pytest tests/system/operations/test_backup.py` makes 20 backups. Every other one is made while the server is
killed and started again.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.system.clients import Starting, at_once
from tests.support.system.commands import begun, rungraph
from tests.support.system.invariants import TOOLS, check, counting, query, unfinished
from tests.support.system.process import DEADLINE_S, Server, serving, until

STEPS = 30
BACKUPS = int(os.environ.get("BACKUPS", "1"))


@pytest.mark.parametrize("number", range(BACKUPS))
def test_every_run_of_a_backup_is_whole(number: int, tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    original.mkdir()
    copy.mkdir()
    with serving(original, tools=[TOOLS], PAUSE_S="0.05") as server:
        starting = Starting([server], server.create(counting(STEPS)), "k")
        with at_once(starting.work):
            until(lambda: len(starting.acknowledged) >= 10 + number)
            before = set(starting.acknowledged.values())
            make(original, copy / "b.tar", server if number % 2 else None)
    assert rungraph(copy, "restore", "b.tar", "--resume").returncode == 0
    assert unfinished(copy / "rungraph.db") > 0  # The backup was made under load.
    restored = {run_id for (run_id,) in query(copy / "rungraph.db", "SELECT id FROM runs")}
    assert before <= restored
    with serving(copy, tools=[TOOLS]):
        until(lambda: not unfinished(copy / "rungraph.db"), within_s=DEADLINE_S, every_s=0.2)
    check(copy / "rungraph.db", runs=len(restored))


def make(folder: Path, file: Path, killed: Server | None) -> None:
    """Make the backup `file`. Kill the server meanwhile if one is given, and start it again."""
    with begun(folder, "backup", file) as process:
        if killed is not None:
            killed.kill()
            killed.start()
        assert process.wait(DEADLINE_S) == 0
