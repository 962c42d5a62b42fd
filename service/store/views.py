"""The views: plain answers in plain SQL, under names that stay. `migrations/` makes them."""

from __future__ import annotations

from collections.abc import Mapping

_KEYS_OF_RUN = """\
WITH RECURSIVE keys (key) AS (
            SELECT min(c.key) FROM changes c WHERE c.run_id = at.run_id
            UNION ALL
            SELECT (SELECT min(c.key) FROM changes c WHERE c.run_id = at.run_id AND c.key > keys.key)
            FROM keys WHERE keys.key IS NOT NULL
        )"""

_LATEST = """\
SELECT coalesce(c.long_key, c.key) AS key, c.value, c.position
            FROM keys JOIN changes c ON c.run_id = at.run_id AND c.key = keys.key AND c.step = (
                SELECT max(l.step) FROM changes l
                WHERE l.run_id = at.run_id AND l.key = keys.key AND l.step <= at.step)
            WHERE c.value IS NOT NULL"""

# SQLite has no LATERAL, and PostgreSQL may join the above by reading all steps of the run.
_LATEST_POSTGRESQL = """\
SELECT coalesce(c.long_key, keys.key) AS key, c.value, c.position
            FROM keys, LATERAL (
                SELECT l.long_key, l.value, l.position FROM changes l
                WHERE l.run_id = at.run_id AND l.key = keys.key AND l.step <= at.step
                ORDER BY l.step DESC LIMIT 1) AS c
            WHERE c.value IS NOT NULL"""

_STATES_SQLITE = f"""\
SELECT at.run_id, at.step, (
        {_KEYS_OF_RUN}
        SELECT '{{' || coalesce(group_concat(json_quote(key) || ':' || value, ','), '') || '}}' FROM (
            {_LATEST}
            ORDER BY c.position, key)
    ) AS state
FROM (SELECT run_id, step FROM snapshots UNION ALL SELECT id, 0 FROM runs) AS at"""

_STATES_POSTGRESQL = f"""\
SELECT at.run_id, at.step, (
        {_KEYS_OF_RUN}
        SELECT '{{' || coalesce(string_agg(to_json(key)::text || ':' || value, ',' ORDER BY position, key), '') || '}}'
        FROM (
            {_LATEST_POSTGRESQL}) AS latest
    ) AS state
FROM (SELECT run_id, step FROM snapshots UNION ALL SELECT id, 0 FROM runs) AS at"""

_RUNS = """\
SELECT r.id AS run_id, g.name AS graph, r.graph_id, r.status, r.step, r.current_node, r.created_at, r.started_at,
    r.finished_at,
    {duration} AS duration_s,
    {type} AS error_type, {message} AS error_message,
    w.kind AS waits_for, w.name AS signal, w.due_at AS waits_until,
    r.parent_id, r.parent_step, r.forked_from_id, r.forked_from_step
FROM runs r JOIN graphs g ON g.id = r.graph_id
    LEFT JOIN waits w ON w.run_id = r.id AND r.status IN ('waiting', 'paused')"""

_STEPS = """\
SELECT run_id, step, node, next_node AS went_to, reason, evaluated, attempt, started_at, finished_at, duration_ms
FROM snapshots"""

_LINES = "SELECT run_id, seq, ts, level, event, node, step, attempt, message, data FROM log_lines"

VIEWS: Mapping[str, Mapping[str, str]] = {
    "sqlite": {
        "v_runs": _RUNS.format(
            duration="round((julianday(coalesce(r.finished_at, 'now')) - julianday(r.started_at)) * 86400, 3)",
            type="json_extract(r.error, '$.type')",
            message="json_extract(r.error, '$.message')",
        ),
        "v_steps": _STEPS,
        "v_states": _STATES_SQLITE,
        "v_lines": _LINES,
    },
    "postgresql": {
        "v_runs": _RUNS.format(
            duration="round(extract(epoch FROM coalesce(r.finished_at, clock_timestamp()) - r.started_at), 3)",
            type="r.error::json ->> 'type'",
            message="r.error::json ->> 'message'",
        ),
        "v_steps": _STEPS,
        "v_states": _STATES_POSTGRESQL,
        "v_lines": _LINES,
    },
}
"""The SELECT of each view by name, by dialect."""
