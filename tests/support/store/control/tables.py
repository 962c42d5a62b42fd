"""Read the tables in the form of the model, and check what must be true of them in any case."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime
from typing import Any

from service.core.transitions import Status
from service.store.database.clock import from_database
from tests.support.profile import repeat
from tests.support.store.control.graphs import GRAPHS
from tests.support.store.control.model import Model, ModelRun
from tests.support.store.harness import rows_of

Tables = dict[str, dict[Any, Any]]
CHECKED_EVERY = repeat(3, 1)
"""Rules from one comparison with the tables to the next. The last comparison comes after all rules."""


def expected(model: Model) -> Tables:
    """What the model says."""
    found: Tables = defaultdict(dict)
    for run in model.runs.values():
        found["runs"][run.id] = _expected_run(model, run)
        found["events"][run.id] = run.events
        if run.wait is not None:
            found["waits"][run.id] = (run.wait.kind, run.wait.name, run.wait.since, run.wait.due, run.wait.open_max)
        for number, signal in enumerate(run.mail, 1):
            found["signals"][run.id, number] = (signal.name, signal.payload, signal.accepted, signal.step)
        found["visits"] |= {(run.id, node): count for node, count in run.visits.items()}
        found["attempts"] |= {(run.id, step, attempt): error for step, attempt, error in run.attempts}
        found["steps"] |= {(run.id, number): step for number, step in enumerate(run.steps, 1)}
        found["states"] |= {(run.id, step): state for step, state in enumerate(run.states)}
    return found


def _expected_run(model: Model, run: ModelRun) -> dict[str, Any]:
    depth, above = 0, run
    while above.parent is not None:
        depth, above = depth + 1, model.runs[above.parent[0]]
    return {
        "graph": run.graph,
        "status": run.status,
        "step": run.step,
        "node": run.node,
        "attempt": run.attempt,
        "failures": run.failures,
        "patches": run.patches,
        "max_steps": run.max_steps,
        "crashes": run.crashes,
        "in_flight": run.status is Status.RUNNING and run.in_flight,
        "is_resume_unlogged": run.is_resume_unlogged,
        "pause_asked": run.pause_asked,
        "due": run.due,
        "owner": run.owner,
        "token": run.token,
        "last_seq": len(run.events),
        "error": run.error,
        "parent": run.parent,
        "depth": depth,
        "forked_from": run.forked_from,
    }


_RUNS = """\
SELECT id, graph_id, status, step, current_node, attempt, failures, patches, max_steps, crashes, in_flight, pause_asked,
    due_at, lease_owner, lease_token, last_seq, error, parent_id, parent_step, parent_attempt, child_number, depth,
    forked_from_id, forked_from_step, is_resume_unlogged FROM runs"""


def found(session: Any, start_of_time: datetime) -> Tables:
    """What the database says."""

    def rows(query: str) -> list[Any]:
        return rows_of(session, query)

    def seconds(at: Any) -> float | None:
        return None if at is None else (from_database(at) - start_of_time).total_seconds()

    events = defaultdict(list)
    for run_id, seq, event in rows("SELECT run_id, seq, event FROM log_lines ORDER BY run_id, seq"):
        events[run_id].append(event)
        assert seq == len(events[run_id]), "a line is missing"
    runs = {row[0]: _found_run(row, seconds) for row in rows(_RUNS)}
    steps = rows("SELECT run_id, step, node, attempt, reason, next_node FROM snapshots")
    return {
        "runs": runs,
        "events": {run_id: events.get(run_id, []) for run_id in runs},
        "waits": {
            run_id: (kind, name, seconds(since), seconds(due), open_max)
            for run_id, kind, name, since, due, open_max in rows(
                "SELECT run_id, kind, name, since, due_at, open_max FROM waits"
            )
        },
        "signals": {
            (run_id, number): (name, json.loads(payload), seconds(accepted), step)
            for run_id, number, name, payload, accepted, step in rows(
                "SELECT run_id, number, name, payload, accepted_at, step FROM signals"
            )
        },
        "visits": {(run_id, node): count for run_id, node, count in rows("SELECT run_id, node, count FROM visits")},
        "attempts": {
            (run_id, step, attempt): json.loads(error)["type"]
            for run_id, step, attempt, error in rows("SELECT run_id, step, attempt, error FROM attempts")
        },
        "steps": {
            (run_id, step): (node, attempt, reason if reason in ("patch", "on_error") else "routed", to)
            for run_id, step, node, attempt, reason, to in steps
        },
        "states": _found_states(rows("SELECT run_id, step, key, value FROM changes"), runs),
    }


def _found_run(row: Any, seconds: Any) -> dict[str, Any]:
    names = {graph.id: name for name, graph in GRAPHS.items()}
    return {
        "graph": names[row[1]],
        "status": row[2],
        "step": row[3],
        "node": row[4],
        "attempt": row[5],
        "failures": row[6],
        "patches": row[7],
        "max_steps": row[8],
        "crashes": row[9],
        "in_flight": row[2] == Status.RUNNING and bool(row[10]),
        "is_resume_unlogged": bool(row[24]),
        "pause_asked": bool(row[11]),
        "due": seconds(row[12]),
        "owner": row[13],
        "token": row[14],
        "last_seq": row[15],
        "error": row[16] and json.loads(row[16])["type"],
        "parent": None if row[17] is None else tuple(row[17:21]),
        "depth": row[21],
        "forked_from": None if row[22] is None else tuple(row[22:24]),
    }


def _found_states(rows: list[Any], runs: dict[str, Any]) -> dict[tuple[str, int], Any]:
    changed: dict[tuple[str, int], dict[str, Any]] = defaultdict(dict)
    for run_id, step, key, value in rows:
        changed[run_id, step][key] = plain(json.loads(value))
    states = {}
    for run_id, run in runs.items():
        state: dict[str, Any] = {}
        for step in range(run["step"] + 1):
            state = {**state, **changed.pop((run_id, step), {})}
            states[run_id, step] = state
    assert not changed, "something was written for a step that is not there"
    return states


def plain(value: Any) -> Any:
    """Without the message, of an error's record."""
    return {name: part for name, part in value.items() if name != "message"} if isinstance(value, dict) else value


_OPEN = "('queued', 'running', 'waiting', 'paused')"
_OF_STEP = "c.parent_id = r.id AND c.parent_step = r.step + 1 AND c.parent_attempt = r.attempt"

CHECKS = {
    "a run whose wait is over cannot be claimed": f"""\
SELECT r.id FROM runs r JOIN waits w ON w.run_id = r.id
WHERE r.status = 'waiting' AND (r.due_at IS NULL OR r.due_at > ?) AND (
    w.kind = 'signal' AND EXISTS (SELECT * FROM signals s WHERE s.run_id = r.id AND s.name = w.name AND s.step IS NULL)
    OR w.kind = 'children' AND (
        EXISTS (SELECT * FROM runs c WHERE {_OF_STEP} AND c.status IN ('failed', 'cancelled'))
        OR NOT EXISTS (SELECT * FROM runs c WHERE {_OF_STEP} AND c.status IN {_OPEN})))""",
    "a run waits for nothing": """\
SELECT id FROM runs WHERE status = 'waiting' AND id NOT IN (SELECT run_id FROM waits)""",
    "what is over waits": """\
SELECT id FROM runs WHERE status IN ('completed', 'failed', 'cancelled') AND id IN (SELECT run_id FROM waits)""",
    "a time has come of which nobody hears": """\
SELECT r.id FROM runs r JOIN waits w ON w.run_id = r.id
WHERE r.status = 'waiting' AND w.due_at IS NOT NULL AND (r.due_at IS NULL OR r.due_at > w.due_at AND r.due_at > ?)""",
    "a step took two signals, or none that is there": """\
SELECT s.run_id FROM signals s LEFT JOIN snapshots n ON n.run_id = s.run_id AND n.step = s.step
WHERE s.step IS NOT NULL GROUP BY s.run_id, s.step HAVING count(*) > 1 OR count(n.node) = 0""",
    "a child was started twice": """\
SELECT parent_id FROM runs WHERE parent_id IS NOT NULL
GROUP BY parent_id, parent_step, parent_attempt, child_number HAVING count(*) > 1""",
    "more children than max_parallel": f"""\
SELECT parent_id FROM runs WHERE parent_id IS NOT NULL AND status IN {_OPEN}
GROUP BY parent_id, parent_step, parent_attempt HAVING count(*) > 2""",
    # But for one that failed, and that somebody has resumed since.
    "a child of a run that is over was not cancelled": f"""\
SELECT c.id FROM runs r JOIN runs c ON c.parent_id = r.id
WHERE r.status IN ('completed', 'failed', 'cancelled') AND c.status IN {_OPEN}
    AND NOT EXISTS (SELECT * FROM log_lines l WHERE l.run_id = c.id AND l.event = 'run_failed')""",
    "an attempt is told of twice": """\
SELECT n.run_id FROM snapshots n JOIN attempts a ON a.run_id = n.run_id AND a.step = n.step AND a.attempt = n.attempt
WHERE n.reason <> 'on_error'""",
}
"""Each finds nothing."""
