"""SIGKILL at any moment: whatever was acknowledged goes on, each step is committed once, no line is lost."""

from __future__ import annotations

import random
import time
from pathlib import Path

from tests.support.profile import repeat
from tests.support.system.invariants import TOOLS, check, counting, executions, unfinished
from tests.support.system.process import DEADLINE_S, Server, until

RUNS = repeat(40, 400)
STEPS = 50
KILLS = repeat(3, 20)


def test_killed_again_and_again_nothing_is_lost_and_nothing_doubled(tmp_path: Path) -> None:
    # Most runs are in the middle at each kill, and none ends before the last one.
    server = Server(tmp_path, tools=[TOOLS], PAUSE_S=str(0.05 + KILLS * 0.01), HOLD_AT=str(STEPS)).start()
    graphs = [server.create(counting(STEPS, tool)) for tool in ("count", "count_on_a_thread")]
    started = [server.run(graphs[number % 2], n=0) for number in range(RUNS)]
    chance = random.Random(20261123)
    for _ in range(KILLS):
        server.kill()
        server.start()
        time.sleep(chance.uniform(0, 0.8))  # The moment of the kill is meant to be any moment.
    server.kill()
    assert unfinished(server.database) == RUNS
    (tmp_path / "go.txt").touch()
    server.start()
    until(lambda: not unfinished(server.database), within_s=2 * DEADLINE_S, every_s=0.2)
    assert server.stop() == 0
    check(server.database, runs=RUNS)
    executed = executions(tmp_path)
    assert {(each.run_id, each.step) for each in executed} == {
        (run_id, step) for run_id in started for step in range(1, STEPS + 1)
    }
    assert max(executed.values()) <= 1 + KILLS + 1
