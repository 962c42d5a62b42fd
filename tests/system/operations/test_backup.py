"""A backup that is made under load restores to a database in which every run acknowledged before it is whole."""

from __future__ import annotations

from pathlib import Path

from tests.support.system.clients import Starting, at_once
from tests.support.system.commands import rungraph
from tests.support.system.invariants import TOOLS, check, counting, query, unfinished
from tests.support.system.process import DEADLINE_S, serving, until

STEPS = 30


def test_every_run_of_a_backup_is_whole(tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    original.mkdir()
    copy.mkdir()
    with serving(original, tools=[TOOLS], PAUSE_S="0.05") as server:
        starting = Starting([server], server.create(counting(STEPS)), "k")
        with at_once(starting.work):
            until(lambda: len(starting.acknowledged) >= 10)
            before = set(starting.acknowledged.values())
            assert rungraph(original, "backup", copy / "b.tar").returncode == 0
    assert rungraph(copy, "restore", "b.tar", "--resume").returncode == 0
    assert unfinished(copy / "rungraph.db") > 0  # The backup was made under load.
    restored = {run_id for (run_id,) in query(copy / "rungraph.db", "SELECT id FROM runs")}
    assert before <= restored
    with serving(copy, tools=[TOOLS]):
        until(lambda: not unfinished(copy / "rungraph.db"), within_s=DEADLINE_S, every_s=0.2)
    check(copy / "rungraph.db", runs=len(restored))
