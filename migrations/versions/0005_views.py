"""Make the views readable by DuckDB, and their durations never negative.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    for name, select in VIEWS[dialect].items():
        if dialect == "sqlite":
            op.execute(f"DROP VIEW {name}")
            text = f"CREATE VIEW {name} AS {select}"
        else:
            # Replaced in place, because users may have views that read them.
            text = f"CREATE OR REPLACE VIEW {name} AS {select}"
        op.execute(sa.DDL(text.replace("%", "%%")))


# The text when this revision was written. `service/store/schema/views.py` may have changed since.
VIEWS = {
    "sqlite": {
        "v_runs": """\
SELECT r.id AS run_id, g.name AS graph, r.graph_id, r.status, r.step, r.current_node, r.created_at, r.started_at,
    r.finished_at,
    CASE WHEN r.started_at IS NOT NULL THEN
        max(0.0, round((julianday(coalesce(r.finished_at, 'now')) - julianday(r.started_at)) * 86400, 3))
    END AS duration_s,
    json_extract(r.error, '$.type') AS error_type, json_extract(r.error, '$.message') AS error_message,
    w.kind AS waits_for, w.name AS signal, w.due_at AS waits_until,
    r.parent_id, r.parent_step, r.forked_from_id, r.forked_from_step
FROM runs r JOIN graphs g ON g.id = r.graph_id
    LEFT JOIN waits w ON w.run_id = r.id AND r.status IN ('waiting', 'paused')""",
        "v_steps": """\
SELECT run_id, step, node, next_node AS went_to, reason, evaluated, attempt, started_at, finished_at,
    CASE WHEN duration_ms > 0 THEN duration_ms ELSE 0.0 END AS duration_ms
FROM snapshots WHERE run_id IS NOT NULL""",
        "v_states": """\
SELECT point.run_id, point.step, (
        WITH RECURSIVE keys (key) AS (
            SELECT min(c.key) FROM changes c WHERE c.run_id = point.run_id
            UNION ALL
            SELECT (SELECT min(c.key) FROM changes c WHERE c.run_id = point.run_id AND c.key > keys.key)
            FROM keys WHERE keys.key IS NOT NULL
        )
        SELECT '{' || coalesce(group_concat(json_quote(key) || ':' || value, ','), '') || '}' FROM (
            SELECT coalesce(c.long_key, c.key) AS key, c.value, c.position
            FROM keys JOIN changes c ON c.run_id = point.run_id AND c.key = keys.key AND c.step = (
                SELECT max(l.step) FROM changes l
                WHERE l.run_id = point.run_id AND l.key = keys.key AND l.step <= point.step)
            WHERE c.value IS NOT NULL
            ORDER BY c.position, key)
    ) AS state
FROM (SELECT run_id, step FROM snapshots WHERE run_id IS NOT NULL UNION ALL SELECT id, 0 FROM runs) AS point""",
        "v_lines": """\
SELECT run_id, seq, ts, level, event, node, step, attempt, message, data FROM log_lines WHERE run_id IS NOT NULL""",
    },
    "postgresql": {
        "v_runs": """\
SELECT r.id AS run_id, g.name AS graph, r.graph_id, r.status, r.step, r.current_node, r.created_at, r.started_at,
    r.finished_at,
    CASE WHEN r.started_at IS NOT NULL THEN
        greatest(0, round(extract(epoch FROM coalesce(r.finished_at, clock_timestamp()) - r.started_at), 3))
    END AS duration_s,
    r.error::json ->> 'type' AS error_type, r.error::json ->> 'message' AS error_message,
    w.kind AS waits_for, w.name AS signal, w.due_at AS waits_until,
    r.parent_id, r.parent_step, r.forked_from_id, r.forked_from_step
FROM runs r JOIN graphs g ON g.id = r.graph_id
    LEFT JOIN waits w ON w.run_id = r.id AND r.status IN ('waiting', 'paused')""",
        "v_steps": """\
SELECT run_id, step, node, next_node AS went_to, reason, evaluated, attempt, started_at, finished_at,
    CASE WHEN duration_ms > 0 THEN duration_ms ELSE 0.0 END AS duration_ms
FROM snapshots WHERE run_id IS NOT NULL""",
        "v_states": """\
SELECT point.run_id, point.step, (
        WITH RECURSIVE keys (key) AS (
            SELECT min(c.key) FROM changes c WHERE c.run_id = point.run_id
            UNION ALL
            SELECT (SELECT min(c.key) FROM changes c WHERE c.run_id = point.run_id AND c.key > keys.key)
            FROM keys WHERE keys.key IS NOT NULL
        )
        SELECT '{' || coalesce(string_agg(to_json(key)::text || ':' || value, ',' ORDER BY position, key), '') || '}'
        FROM (
            SELECT coalesce(c.long_key, keys.key) AS key, c.value, c.position
            FROM keys, LATERAL (
                SELECT l.long_key, l.value, l.position FROM changes l
                WHERE l.run_id = point.run_id AND l.key = keys.key AND l.step <= point.step
                ORDER BY l.step DESC LIMIT 1) AS c
            WHERE c.value IS NOT NULL) AS latest
    ) AS state
FROM (SELECT run_id, step FROM snapshots WHERE run_id IS NOT NULL UNION ALL SELECT id, 0 FROM runs) AS point""",
        "v_lines": """\
SELECT run_id, seq, ts, level, event, node, step, attempt, message, data FROM log_lines WHERE run_id IS NOT NULL""",
    },
}
