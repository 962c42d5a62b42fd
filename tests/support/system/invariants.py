"""What holds of a database whatever happened to its servers, asked in SQL; and the runs that these tests count with.

They count `n` up from 0 by one a step, so that a step lost or done twice shows in the state as well.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.sessions import kept_session

TOOLS = Path(__file__).with_name("tools.py")

# Each finds the runs that break it.
_BROKEN = {
    "a run has not completed": "SELECT id FROM runs WHERE status != 'completed'",
    "steps have gaps": """
        SELECT run_id FROM snapshots GROUP BY run_id HAVING count(*) != max(step) OR min(step) != 1""",
    "a run's row counts other steps": """
        SELECT id FROM runs WHERE step != (SELECT count(*) FROM snapshots WHERE run_id = id)""",
    "a step went on elsewhere than the one before it decided": """
        SELECT s.run_id FROM snapshots s JOIN snapshots f ON f.run_id = s.run_id AND f.step = s.step + 1
        WHERE s.next_node IS NULL OR s.next_node != f.node""",
    "a server has committed under a lease that was another's by then": """
        SELECT s.run_id FROM snapshots s JOIN snapshots f ON f.run_id = s.run_id AND f.step = s.step + 1
        WHERE s.lease_token > f.lease_token""",
    "a step's attempt is not the one after those that were lost": """
        SELECT run_id FROM snapshots s
        WHERE attempt != 1 + (SELECT count(*) FROM attempts a WHERE a.run_id = s.run_id AND a.step = s.step)""",
    "the counter is not the number of steps": """
        SELECT r.id FROM runs r LEFT JOIN v_states v ON v.run_id = r.id AND v.step = r.step
        WHERE v.state IS NULL OR v.state != '{"n":' || r.step || '}'""",
    "a step has counted wrong": "SELECT run_id FROM changes WHERE key != 'n' OR value != CAST(step AS text)",
    "a step has not counted": """
        SELECT s.run_id FROM snapshots s LEFT JOIN changes c ON c.run_id = s.run_id AND c.step = s.step
        WHERE c.step IS NULL""",
    "lines have gaps": """
        SELECT id FROM runs LEFT JOIN log_lines ON run_id = id GROUP BY id, last_seq
        HAVING count(seq) != last_seq OR min(seq) != 1 OR max(seq) != last_seq""",
    "a run has not started once": """
        SELECT id FROM runs WHERE 1 != (SELECT count(*) FROM log_lines WHERE run_id = id AND event = 'run_started')""",
    "a run does not start with its first line": "SELECT run_id FROM log_lines WHERE event = 'run_started' AND seq != 1",
    "a run has not ended once": """
        SELECT id FROM runs WHERE 1 != (SELECT count(*) FROM log_lines
            WHERE run_id = id AND event IN ('run_completed', 'run_failed', 'run_cancelled'))""",
    "the last line is not the end": """
        SELECT id FROM runs LEFT JOIN log_lines ON run_id = id AND seq = last_seq AND event = 'run_completed'
        WHERE seq IS NULL""",
    "a step has not one line": """
        SELECT s.run_id FROM snapshots s
        LEFT JOIN log_lines l ON l.run_id = s.run_id AND l.step = s.step AND l.event = 'step_completed'
        GROUP BY s.run_id, s.step HAVING count(l.seq) != 1""",
    "a line tells of a step that is none": """
        SELECT l.run_id FROM log_lines l LEFT JOIN snapshots s ON s.run_id = l.run_id AND s.step = l.step
        WHERE l.event = 'step_completed' AND s.step IS NULL""",
    "steps completed in another order": """
        SELECT l.run_id FROM log_lines l JOIN log_lines f ON f.run_id = l.run_id AND f.step = l.step + 1
        WHERE l.event = 'step_completed' AND f.event = 'step_completed' AND f.seq < l.seq""",
}


class Executed(NamedTuple):
    """A call of a tool, as the tool noted it."""

    run_id: str
    step: int
    server: str


def check(database: str | Path, *, runs: int) -> None:
    """That `database` has `runs` runs, that all have completed, and that nothing was lost or doubled."""
    assert query(database, "SELECT count(*) FROM runs") == [(runs,)]
    for what, text in _BROKEN.items():
        assert query(database, text) == [], what


def query(database: str | Path, text: str) -> list[tuple[Any, ...]]:
    """The rows of a SQLite file, or of the PostgreSQL at a URL."""
    if isinstance(database, Path):
        with closing(sqlite3.connect(database)) as connection:
            return connection.execute(text).fetchall()
    with kept_session(database) as session:
        return session.execute(text.encode()).fetchall()


def unfinished(database: str | Path) -> int:
    """How many runs are not over."""
    return int(query(database, "SELECT count(*) FROM runs WHERE status IN ('queued', 'running')")[0][0])


def executions(folder: Path) -> Counter[Executed]:
    """How often each server that works in `folder` has executed each step."""
    file = folder / "executions.txt"
    lines = file.read_text().splitlines() if file.exists() else []
    return Counter(Executed(run_id, int(step), server) for run_id, step, server in map(str.split, lines))


def counting(steps: int, tool: str = "count") -> dict[str, Any]:
    """A graph that counts `n` up to `steps`."""
    again = {"to": "a", "condition": {"key": "n", "op": "<", "value": steps}}
    return {"start_node": "a", "nodes": {"a": tool}, "edges": {"a": [again]}}
