"""The views: plain answers in SQL, under stable names. `migrations/` makes them.

DuckDB reads the views of a SQLite file too, and executes their text itself if it knows all functions in it. So no name
may be a word that DuckDB reserves, such as `at`. DuckDB can read columns of a table without a rowid, but cannot count
its rows without reading a column; a condition on a column makes DuckDB read that column.

No view shows anything of a run that is being deleted.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import column, table

_IS_KEPT = "NOT IN (SELECT run_id FROM deletions)"

_KEYS_OF_RUN = """\
WITH RECURSIVE keys (key) AS (
            SELECT min(c.key) FROM changes c WHERE c.run_id = point.run_id
            UNION ALL
            SELECT (SELECT min(c.key) FROM changes c WHERE c.run_id = point.run_id AND c.key > keys.key)
            FROM keys WHERE keys.key IS NOT NULL
        )"""

_VALUE = """\
coalesce(c.value, (
                SELECT s.value FROM runs r JOIN shared_values s ON s.run_id = r.parent_id
                WHERE r.id = point.run_id AND s.digest = c.shared_digest))"""

_LATEST = f"""\
SELECT coalesce(c.long_key, c.key) AS key, {_VALUE} AS value, c.position
            FROM keys JOIN changes c ON c.run_id = point.run_id AND c.key = keys.key AND c.step = (
                SELECT max(l.step) FROM changes l
                WHERE l.run_id = point.run_id AND l.key = keys.key AND l.step <= point.step)
            WHERE c.value IS NOT NULL OR c.shared_digest IS NOT NULL"""

# PostgreSQL might read all steps of the run for the join above; SQLite has no LATERAL.
_LATEST_POSTGRESQL = f"""\
SELECT coalesce(c.long_key, keys.key) AS key, {_VALUE} AS value, c.position
            FROM keys, LATERAL (
                SELECT l.long_key, l.value, l.shared_digest, l.position FROM changes l
                WHERE l.run_id = point.run_id AND l.key = keys.key AND l.step <= point.step
                ORDER BY l.step DESC LIMIT 1) AS c
            WHERE c.value IS NOT NULL OR c.shared_digest IS NOT NULL"""

_STATES_SQLITE = f"""\
SELECT point.run_id, point.step, (
        {_KEYS_OF_RUN}
        SELECT '{{' || coalesce(group_concat(json_quote(key) || ':' || value, ','), '') || '}}' FROM (
            {_LATEST}
            ORDER BY c.position, key)
    ) AS state
FROM (
    SELECT run_id, step FROM snapshots WHERE run_id {_IS_KEPT}
    UNION ALL SELECT id, 0 FROM runs WHERE id {_IS_KEPT}) AS point"""

_STATES_POSTGRESQL = f"""\
SELECT point.run_id, point.step, (
        {_KEYS_OF_RUN}
        SELECT '{{' || coalesce(string_agg(to_json(key)::text || ':' || value, ',' ORDER BY position, key), '') || '}}'
        FROM (
            {_LATEST_POSTGRESQL}) AS latest
    ) AS state
FROM (
    SELECT run_id, step FROM snapshots WHERE run_id {_IS_KEPT}
    UNION ALL SELECT id, 0 FROM runs WHERE id {_IS_KEPT}) AS point"""

_RUNS = """\
SELECT r.id AS run_id, g.name AS graph, r.graph_id, r.status, r.step, r.current_node, r.created_at, r.started_at,
    r.finished_at,
    CASE WHEN r.started_at IS NOT NULL THEN
        {duration}
    END AS duration_s,
    {type} AS error_type, {message} AS error_message,
    w.kind AS waits_for, CASE WHEN w.kind = 'signal' THEN w.name END AS signal, w.due_at AS waits_until,
    r.parent_id, r.parent_step, r.forked_from_id, r.forked_from_step, r.moved_at,
    {still} AS still_s,
    r.priority, CASE WHEN w.kind = 'limit' THEN w.name END AS limit_name, r.missing_tool,
    r.schedule_name AS schedule, r.schedule_tick AS tick
FROM runs r JOIN graphs g ON g.id = r.graph_id
    LEFT JOIN waits w ON w.run_id = r.id AND r.status IN ('waiting', 'paused')
WHERE r.id {kept}"""

_STEPS = f"""\
SELECT run_id, step, node, next_node AS went_to, reason, evaluated, attempt, started_at, finished_at,
    CASE WHEN duration_ms > 0 THEN duration_ms ELSE 0.0 END AS duration_ms
FROM snapshots WHERE run_id {_IS_KEPT}"""

_LINES = f"""\
SELECT run_id, seq, ts, level, event, node, step, attempt, message, data FROM log_lines
WHERE run_id {_IS_KEPT}"""

# `likely` changes nothing in SQLite, and DuckDB does not know it. So DuckDB lets SQLite execute the view: in DuckDB,
# `json_each` puts strings into quotes and rounds large integers.
_DECISIONS_SQLITE = f"""\
SELECT s.run_id, s.step, s.node, likely(e.key) AS number, json_extract(e.value, '$.to') AS target,
    json_extract(e.value, '$.condition') AS condition, json_extract(e.value, '$.result') AS result,
    json_extract(e.value, '$.operands') AS operands, json_extract(e.value, '$.omitted') AS omitted,
    json_extract(e.value, '$.note') AS note
FROM snapshots s, json_each(s.evaluated) AS e WHERE s.run_id {_IS_KEPT}"""

_DECISIONS_POSTGRESQL = f"""\
SELECT s.run_id, s.step, s.node, e.position - 1 AS number, e.record ->> 'to' AS target,
    e.record ->> 'condition' AS condition, (e.record ->> 'result')::boolean::integer AS result,
    e.record ->> 'operands' AS operands, e.record ->> 'omitted' AS omitted, e.record ->> 'note' AS note
FROM snapshots s, LATERAL json_array_elements(s.evaluated::json) WITH ORDINALITY AS e (record, position)
WHERE s.run_id {_IS_KEPT}"""

_CHANGES = f"""\
SELECT c.run_id, coalesce(c.long_key, c.key) AS key, c.step, s.node, coalesce(c.value, (
        SELECT v.value FROM shared_values v WHERE v.run_id = r.parent_id AND v.digest = c.shared_digest)) AS value,
    CASE WHEN c.value IS NULL AND c.shared_digest IS NULL THEN 1 ELSE 0 END AS removed,
    coalesce(s.finished_at, r.created_at) AS changed_at
FROM changes c JOIN runs r ON r.id = c.run_id LEFT JOIN snapshots s ON s.run_id = c.run_id AND s.step = c.step
WHERE c.run_id {_IS_KEPT}"""

# The node of a failed attempt is the node of its step. If a patch took the number of that step, it is the node after
# the patch, because a patch has no node. If no step has that number yet, it is the run's current node or, if the run
# was cancelled, the node of its last line.
_ATTEMPTS_POSTGRESQL = f"""\
SELECT a.run_id, a.step, a.attempt, coalesce(s.node, s.next_node, r.current_node, l.node) AS node,
    a.error::json ->> 'type' AS error_type, a.error::json ->> 'message' AS error_message, a.started_at, a.finished_at,
    greatest(0, round(extract(epoch FROM a.finished_at - a.started_at) * 1000))::double precision AS duration_ms
FROM attempts a JOIN runs r ON r.id = a.run_id LEFT JOIN snapshots s ON s.run_id = a.run_id AND s.step = a.step
    LEFT JOIN log_lines l ON l.run_id = a.run_id AND l.seq = r.last_seq
WHERE a.run_id {_IS_KEPT}
UNION ALL
SELECT run_id, step, attempt, node, NULL, NULL, started_at, finished_at,
    CASE WHEN duration_ms > 0 THEN duration_ms ELSE 0.0 END
FROM snapshots WHERE reason NOT IN ('patch', 'on_error') AND run_id {_IS_KEPT}"""

# The same union without UNION: `k` makes two rows of each run, one for its failed attempts and one for its committed
# attempts. DuckDB would hand a UNION to SQLite with brackets that SQLite does not parse.
_ATTEMPTS_SQLITE = f"""\
SELECT r.id AS run_id, coalesce(a.step, c.step) AS step, coalesce(a.attempt, c.attempt) AS attempt,
    CASE WHEN a.step IS NULL THEN c.node ELSE coalesce(s.node, s.next_node, r.current_node, l.node) END AS node,
    json_extract(a.error, '$.type') AS error_type, json_extract(a.error, '$.message') AS error_message,
    coalesce(a.started_at, c.started_at) AS started_at, coalesce(a.finished_at, c.finished_at) AS finished_at,
    max(0.0, CASE WHEN a.step IS NULL THEN c.duration_ms
        ELSE round((julianday(a.finished_at) - julianday(a.started_at)) * 86400000) END) AS duration_ms
FROM runs r CROSS JOIN json_each('["failed", "committed"]') AS k
    LEFT JOIN attempts a ON a.run_id = r.id AND k.value = 'failed'
    LEFT JOIN snapshots s ON s.run_id = a.run_id AND s.step = a.step
    LEFT JOIN snapshots c ON c.run_id = r.id AND k.value = 'committed' AND c.reason NOT IN ('patch', 'on_error')
    LEFT JOIN log_lines l ON l.run_id = r.id AND l.seq = r.last_seq
WHERE (a.step IS NOT NULL OR c.step IS NOT NULL) AND r.id {_IS_KEPT}"""

_WAITS = """\
SELECT w.run_id, r.status, r.current_node AS node, w.kind, CASE WHEN w.kind = 'signal' THEN w.name END AS signal,
    w.since, w.due_at,
    CASE WHEN w.kind = 'children' THEN (
        SELECT count(*) FROM runs c WHERE c.parent_id = w.run_id AND c.parent_step = r.step + 1
            AND c.parent_attempt = r.attempt AND c.status IN ('queued', 'running', 'waiting', 'paused'))
    END AS open_children, CASE WHEN w.kind = 'limit' THEN w.name END AS limit_name
FROM waits w JOIN runs r ON r.id = w.run_id WHERE r.status IN ('waiting', 'paused')"""

_LIMITS = """\
SELECT l.name, l.max, l.per_s, CASE WHEN l.per_s IS NULL THEN (
        SELECT count(*) FROM slots s JOIN runs r ON r.id = s.run_id AND r.lease_token = s.lease_token
            AND r.step = s.step AND r.lease_owner IS NOT NULL WHERE s.name = l.name)
    ELSE (
        SELECT count(*) FROM limit_starts b WHERE b.name = l.name
            AND {is_within})
    END AS in_use, (
        SELECT count(*) FROM waits w JOIN runs r ON r.id = w.run_id
        WHERE w.kind = 'limit' AND w.name = {name} AND r.status = 'waiting') AS waiting,
    l.created_at, l.changed_at
FROM limits l"""

_SIGNALS = f"""\
SELECT run_id, number, name, payload, accepted_at, step FROM signals
WHERE run_id {_IS_KEPT}"""

_CHILDREN = f"""\
SELECT r.parent_id, r.parent_step, r.parent_attempt, r.child_number AS number, r.id AS run_id, g.name AS graph,
    r.status, r.created_at, r.finished_at
FROM runs r JOIN graphs g ON g.id = r.graph_id
WHERE r.parent_id IS NOT NULL AND r.id {_IS_KEPT}"""

_TAGS_SQLITE = f"""\
SELECT r.id AS run_id, t.key, likely(t.value) AS value FROM runs r, json_each(r.tags) AS t
WHERE r.id {_IS_KEPT}"""

_TAGS_POSTGRESQL = f"""\
SELECT r.id AS run_id, t.key, t.value FROM runs r, LATERAL json_each_text(r.tags::json) AS t
WHERE r.id {_IS_KEPT}"""

_SCHEDULES = f"""\
SELECT name, graph_name AS graph, graph_id, cron, every_s, timezone, overlap, catch_up, is_paused AS paused,
    CASE WHEN is_paused = 0 THEN next_at END AS next_at, last_at, skipped_at,
    CASE WHEN last_run_id {_IS_KEPT} THEN last_run_id END AS last_run_id,
    created_at, updated_at
FROM schedules"""

_DELIVERIES = f"""\
SELECT run_id, number, event, state, attempts, due_at, last_status, last_error, created_at, finished_at, payload
FROM deliveries WHERE run_id {_IS_KEPT}"""

limits_view = table("v_limits", *map(column, ("name", "max", "per_s", "in_use", "waiting", "created_at", "changed_at")))
"""The view that the API reads. All others are for people."""

VIEWS: Mapping[str, Mapping[str, str]] = {
    "sqlite": {
        "v_runs": _RUNS.format(
            kept=_IS_KEPT,
            duration="max(0.0, round("
            "(julianday(coalesce(r.finished_at, 'now')) - julianday(r.started_at)) * 86400, 3))",
            still="max(0.0, round((julianday('now') - julianday(r.moved_at)) * 86400, 3))",
            type="json_extract(r.error, '$.type')",
            message="json_extract(r.error, '$.message')",
        ),
        "v_steps": _STEPS,
        "v_states": _STATES_SQLITE,
        "v_lines": _LINES,
        "v_decisions": _DECISIONS_SQLITE,
        "v_changes": _CHANGES,
        "v_attempts": _ATTEMPTS_SQLITE,
        "v_waits": _WAITS,
        "v_signals": _SIGNALS,
        "v_children": _CHILDREN,
        "v_tags": _TAGS_SQLITE,
        "v_limits": _LIMITS.format(
            name="l.name", is_within="julianday(b.begun_at) > julianday('now') - l.per_s / 86400.0"
        ),
        "v_schedules": _SCHEDULES,
        "v_deliveries": _DELIVERIES,
    },
    "postgresql": {
        "v_runs": _RUNS.format(
            kept=_IS_KEPT,
            duration="greatest(0, round("
            "extract(epoch FROM coalesce(r.finished_at, clock_timestamp()) - r.started_at), 3))",
            still="greatest(0, round(extract(epoch FROM clock_timestamp() - r.moved_at), 3))",
            type="r.error::json ->> 'type'",
            message="r.error::json ->> 'message'",
        ),
        "v_steps": _STEPS,
        "v_states": _STATES_POSTGRESQL,
        "v_lines": _LINES,
        "v_decisions": _DECISIONS_POSTGRESQL,
        "v_changes": _CHANGES,
        "v_attempts": _ATTEMPTS_POSTGRESQL,
        "v_waits": _WAITS,
        "v_signals": _SIGNALS,
        "v_children": _CHILDREN,
        "v_tags": _TAGS_POSTGRESQL,
        # The comparison has to use the collation of the index of `waits`.
        "v_limits": _LIMITS.format(
            name='l.name COLLATE "default"', is_within="b.begun_at > clock_timestamp() - make_interval(secs => l.per_s)"
        ),
        "v_schedules": _SCHEDULES,
        "v_deliveries": _DELIVERIES,
    },
}
"""The SELECT of each view, by dialect and by the view's name."""
