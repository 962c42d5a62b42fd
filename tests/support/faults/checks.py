"""Compare a database with what clients were told: find what was lost, what was done twice, and gaps in numbers."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.support.faults.graphs import FINAL_N
from tests.support.faults.ledger import Ledger
from tests.support.system.invariants import query

# Each finds the runs that break it, whatever their graph is.
_HOLES = {
    "steps have gaps": """
        SELECT run_id FROM snapshots GROUP BY run_id HAVING count(*) != max(step) OR min(step) != 1""",
    "a run's row counts other steps": """
        SELECT id FROM runs WHERE step != (SELECT count(*) FROM snapshots WHERE run_id = id)""",
    "lines have gaps": """
        SELECT id FROM runs LEFT JOIN log_lines ON run_id = id GROUP BY id, last_seq
        HAVING count(seq) != last_seq OR min(seq) != 1 OR max(seq) != last_seq""",
    "a step went on elsewhere than the one before it decided": """
        SELECT s.run_id FROM snapshots s JOIN snapshots f ON f.run_id = s.run_id AND f.step = s.step + 1
        WHERE s.next_node IS NULL OR s.next_node != f.node""",
}
_DOUBLED = {
    "a step has not one line": """
        SELECT s.run_id FROM snapshots s
        LEFT JOIN log_lines l ON l.run_id = s.run_id AND l.step = s.step AND l.event = 'step_completed'
        GROUP BY s.run_id, s.step HAVING count(l.seq) != 1""",
    "a run has not started once": """
        SELECT run_id FROM log_lines WHERE event = 'run_started' GROUP BY run_id HAVING count(*) != 1""",
    "a run has ended twice": """
        SELECT run_id FROM log_lines WHERE event IN ('run_completed', 'run_failed', 'run_cancelled')
        GROUP BY run_id HAVING count(*) != 1""",
    "a signal was taken twice": "SELECT run_id FROM signals GROUP BY run_id HAVING count(*) != 1",
    "a server has committed under a lease that was another's by then": """
        SELECT s.run_id FROM snapshots s JOIN snapshots f ON f.run_id = s.run_id AND f.step = s.step + 1
        WHERE s.lease_token > f.lease_token""",
}


class Found(NamedTuple):
    """What was found wrong, each as a sentence."""

    lost: list[str]
    doubled: list[str]
    holes: list[str]
    wrong: list[str]

    def __bool__(self) -> bool:
        return any(self)


def compare(database: str | Path, ledger: Ledger) -> Found:
    """What `database` says otherwise than `ledger`. All runs have come to an end before."""
    holes = [f"{what}: {rows[:5]}" for what, text in _HOLES.items() if (rows := query(database, text))]
    doubled = [f"{what}: {rows[:5]}" for what, text in _DOUBLED.items() if (rows := query(database, text))]
    lost: list[str] = []
    runs = {row[0]: (row[1], row[2], json.loads(row[3]).get("key", "")) for row in query(database, _RUNS)}
    states = {row[0]: json.loads(row[1]) for row in query(database, _STATES)}
    keys = Counter(key for _, _, key in runs.values())
    doubled += [f"the key {key} has {count} runs" for key, count in keys.items() if count > 1]
    for key, run_id in ledger.runs.items():
        if run_id not in runs:
            lost.append(f"the run {run_id} of the key {key} was acknowledged")
    for run_id, (status, step, key) in runs.items():
        _check_run(run_id, status, step, key.partition(" ")[0], states.get(run_id, {}), lost, doubled)
    lost += [f"the cancel of {run_id}" for run_id in ledger.cancelled if runs.get(run_id, ("",))[0] != "cancelled"]
    signalled = {row[0] for row in query(database, "SELECT run_id FROM signals WHERE step IS NOT NULL")}
    lost += [f"the signal of {run_id}" for run_id in ledger.signalled - signalled]
    for run_id, seen in ledger.lines.items():
        there = query(database, f"SELECT seq, message FROM log_lines WHERE run_id = '{run_id}' ORDER BY seq")
        if seen != [tuple(row) for row in there[: len(seen)]]:
            lost.append(f"lines of {run_id} that were read")
    return Found(lost, doubled, holes, list(ledger.wrong))


_RUNS = "SELECT id, status, step, tags FROM runs"
_STATES = "SELECT r.id, v.state FROM runs r JOIN v_states v ON v.run_id = r.id AND v.step = r.step"


def _check_run(
    run_id: str, status: str, step: int, graph: str, state: dict[str, int], lost: list[str], doubled: list[str]
) -> None:
    if graph == "endless":
        if status == "cancelled" and state.get("n") != step:
            doubled.append(f"{run_id} has counted to {state.get('n')} in {step} steps")
    elif status != "completed":
        lost.append(f"{run_id} is {status} at step {step}")
    elif state.get("n") != FINAL_N[graph]:
        doubled.append(f"{run_id} of {graph} has counted to {state.get('n')}")
