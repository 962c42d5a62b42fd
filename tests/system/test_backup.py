"""A backup that is made under load restores to a database in which every run acknowledged before it is whole."""

from __future__ import annotations

from pathlib import Path

from tests.support.system.commands import rungraph
from tests.support.system.invariants import TOOLS, check, counting, unfinished
from tests.support.system.process import DEADLINE_S, serving, until

RUNS, STEPS = 40, 30


def test_every_run_of_a_backup_is_whole(tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    original.mkdir()
    copy.mkdir()
    with serving(original, tools=[TOOLS], PAUSE_S="0.05") as server:
        graph_id = server.create(counting(STEPS))
        for _ in range(RUNS):
            server.run(graph_id, n=0)
        assert rungraph(original, "backup", copy / "b.tar").returncode == 0
    assert rungraph(copy, "restore", "b.tar", "--resume").returncode == 0
    assert unfinished(copy / "rungraph.db") > 0  # The backup was made under load.
    with serving(copy, tools=[TOOLS]):
        until(lambda: not unfinished(copy / "rungraph.db"), within_s=DEADLINE_S, every_s=0.2)
    check(copy / "rungraph.db", runs=RUNS)
