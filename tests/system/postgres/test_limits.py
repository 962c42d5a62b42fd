"""A limit over several servers, some of which are killed or suspended: the tools' own ledger says who was in.

RUNGRAPH_LIMIT_ROUNDS is the number of faults: one in the suite, hundreds in a campaign.
"""

from __future__ import annotations

import os
import random
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.support.postgres import Databases
from tests.support.system.invariants import query
from tests.support.system.limiting import TOOLS, by_step, calls_of, most_at_once, most_within
from tests.support.system.process import Server, running, until

ROUNDS = int(os.environ.get("RUNGRAPH_LIMIT_ROUNDS", "1"))
LEASE_S = 2
MAX = 4
RATE, PERIOD_S = 10, 0.5
RUNS = 12


def test_a_limit_holds_and_nobody_is_stuck_whatever_happens_to_the_servers(postgres: Databases, tmp_path: Path) -> None:
    database = postgres.migrated()
    chance = random.Random(ROUNDS)
    given = {"RUNGRAPH_LEASE_SECONDS": str(LEASE_S), "RUNGRAPH_DATABASE_URL": database}
    servers = [Server(tmp_path, tools=[TOOLS], **given) for _ in range(3 if ROUNDS > 2 else 2)]
    lost: dict[int, list[float]] = defaultdict(list)
    with running(*servers):
        assert servers[0].call("PUT", "/limits/few", json={"max": MAX}).status_code == 201
        servers[0].call("PUT", "/limits/rate", json={"max": RATE, "per_s": PERIOD_S})
        nodes = {"a": "work", "b": "ring"}
        graph_id = servers[0].create({"start_node": "a", "nodes": nodes, "edges": {"a": "b"}})
        started = 0
        for number in range(ROUNDS):
            for _ in range(RUNS):
                body = {"graph_id": graph_id, "initial_state": {"s": 0.05}, "priority": chance.randint(-2, 2)}
                assert servers[0].call("POST", "/graph/run", json=body).status_code == 202
                started += 1
            until((tmp_path / "ledger.txt").exists)
            time.sleep(chance.uniform(0, 0.2))
            victim = servers[-1]
            pid = victim.process.pid
            if number % 2:
                victim.kill()
                lost[pid].append(time.monotonic())
                victim.start()
            else:
                victim.freeze()
                lost[pid].append(time.monotonic())
                # Until its leases are others': what it was doing is done by them.
                until(lambda: not open_runs(database))
                victim.thaw()
        until(lambda: not open_runs(database))
        until(lambda: servers[0].call("GET", "/limits/few").json()["in_use"] == 0)
    check(database, tmp_path, lost, started)
    postgres.drop(database)


def open_runs(database: str) -> list[Any]:
    """Return the runs that are not over. Those that wait for a slot are among them."""
    return query(database, "SELECT id FROM runs WHERE status IN ('queued', 'running', 'waiting')")


def check(database: str, folder: Path, lost: dict[int, list[float]], started: int) -> None:
    calls = calls_of(folder)
    work, rings = ([call for call in calls if call.step == step] for step in (1, 2))
    assert most_at_once(work, lost) <= MAX
    assert most_within(rings, PERIOD_S) <= RATE
    assert query(database, "SELECT id, status, error FROM runs WHERE status <> 'completed'") == []
    assert len(by_step(calls)) == 2 * started
    assert query(database, "SELECT run_id FROM waits") == []
    # A run that was taken over between its wait and its attempt waits anew.
    lines = query(
        database,
        "SELECT run_id FROM log_lines WHERE event = 'run_waiting'"
        " AND run_id NOT IN (SELECT run_id FROM log_lines WHERE event = 'run_resumed')"
        " GROUP BY run_id, step, attempt HAVING count(*) > 1",
    )
    assert lines == []
