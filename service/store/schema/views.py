"""The views: plain answers in plain SQL, under names that stay. `migrations/` makes them.

DuckDB reads those of a SQLite file too. It executes their texts itself where it knows all that is in them, so that no
name in them may be a word that it reserves (`at` is one). Of a table without a rowid it can read columns, but not count
rows: a condition on a column makes it read one.
"""

from __future__ import annotations

from collections.abc import Mapping

_KEYS_OF_RUN = """\
WITH RECURSIVE keys (key) AS (
            SELECT min(c.key) FROM changes c WHERE c.run_id = point.run_id
            UNION ALL
            SELECT (SELECT min(c.key) FROM changes c WHERE c.run_id = point.run_id AND c.key > keys.key)
            FROM keys WHERE keys.key IS NOT NULL
        )"""

_LATEST = """\
SELECT coalesce(c.long_key, c.key) AS key, c.value, c.position
            FROM keys JOIN changes c ON c.run_id = point.run_id AND c.key = keys.key AND c.step = (
                SELECT max(l.step) FROM changes l
                WHERE l.run_id = point.run_id AND l.key = keys.key AND l.step <= point.step)
            WHERE c.value IS NOT NULL"""

# SQLite has no LATERAL, and PostgreSQL may join the above by reading all steps of the run.
_LATEST_POSTGRESQL = """\
SELECT coalesce(c.long_key, keys.key) AS key, c.value, c.position
            FROM keys, LATERAL (
                SELECT l.long_key, l.value, l.position FROM changes l
                WHERE l.run_id = point.run_id AND l.key = keys.key AND l.step <= point.step
                ORDER BY l.step DESC LIMIT 1) AS c
            WHERE c.value IS NOT NULL"""

_STATES_SQLITE = f"""\
SELECT point.run_id, point.step, (
        {_KEYS_OF_RUN}
        SELECT '{{' || coalesce(group_concat(json_quote(key) || ':' || value, ','), '') || '}}' FROM (
            {_LATEST}
            ORDER BY c.position, key)
    ) AS state
FROM (SELECT run_id, step FROM snapshots WHERE run_id IS NOT NULL UNION ALL SELECT id, 0 FROM runs) AS point"""

_STATES_POSTGRESQL = f"""\
SELECT point.run_id, point.step, (
        {_KEYS_OF_RUN}
        SELECT '{{' || coalesce(string_agg(to_json(key)::text || ':' || value, ',' ORDER BY position, key), '') || '}}'
        FROM (
            {_LATEST_POSTGRESQL}) AS latest
    ) AS state
FROM (SELECT run_id, step FROM snapshots WHERE run_id IS NOT NULL UNION ALL SELECT id, 0 FROM runs) AS point"""

_RUNS = """\
SELECT r.id AS run_id, g.name AS graph, r.graph_id, r.status, r.step, r.current_node, r.created_at, r.started_at,
    r.finished_at,
    CASE WHEN r.started_at IS NOT NULL THEN
        {duration}
    END AS duration_s,
    {type} AS error_type, {message} AS error_message,
    w.kind AS waits_for, w.name AS signal, w.due_at AS waits_until,
    r.parent_id, r.parent_step, r.forked_from_id, r.forked_from_step
FROM runs r JOIN graphs g ON g.id = r.graph_id
    LEFT JOIN waits w ON w.run_id = r.id AND r.status IN ('waiting', 'paused')"""

_STEPS = """\
SELECT run_id, step, node, next_node AS went_to, reason, evaluated, attempt, started_at, finished_at,
    CASE WHEN duration_ms > 0 THEN duration_ms ELSE 0.0 END AS duration_ms
FROM snapshots WHERE run_id IS NOT NULL"""

_LINES = """\
SELECT run_id, seq, ts, level, event, node, step, attempt, message, data FROM log_lines WHERE run_id IS NOT NULL"""

VIEWS: Mapping[str, Mapping[str, str]] = {
    "sqlite": {
        "v_runs": _RUNS.format(
            duration="max(0.0, round("
            "(julianday(coalesce(r.finished_at, 'now')) - julianday(r.started_at)) * 86400, 3))",
            type="json_extract(r.error, '$.type')",
            message="json_extract(r.error, '$.message')",
        ),
        "v_steps": _STEPS,
        "v_states": _STATES_SQLITE,
        "v_lines": _LINES,
    },
    "postgresql": {
        "v_runs": _RUNS.format(
            duration="greatest(0, round("
            "extract(epoch FROM coalesce(r.finished_at, clock_timestamp()) - r.started_at), 3))",
            type="r.error::json ->> 'type'",
            message="r.error::json ->> 'message'",
        ),
        "v_steps": _STEPS,
        "v_states": _STATES_POSTGRESQL,
        "v_lines": _LINES,
    },
}
"""The SELECT of each view by name, by dialect."""
