"""Delete runs: the runs that are being deleted, and indexes to find what belongs to a run.

The views leave these runs out. There is one for every question now, and they follow shared values.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TIME = sa.Text().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "deletions",
        sa.Column("run_id", KEY, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
        sqlite_with_rowid=False,
    )
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        # An earlier revision of the same upgrade may have left deferred checks, and those would refuse an index.
        op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.create_index("run_tags_by_run", "run_tags", ["run_id"])
    op.create_index("idempotency_keys_by_run", "idempotency_keys", ["run_id"])
    for name, select in VIEWS[dialect].items():
        if dialect == "sqlite":
            op.execute(f"DROP VIEW IF EXISTS {name}")
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
    r.parent_id, r.parent_step, r.forked_from_id, r.forked_from_step, r.moved_at,
    max(0.0, round((julianday('now') - julianday(r.moved_at)) * 86400, 3)) AS still_s
FROM runs r JOIN graphs g ON g.id = r.graph_id
    LEFT JOIN waits w ON w.run_id = r.id AND r.status IN ('waiting', 'paused')
WHERE r.id NOT IN (SELECT run_id FROM deletions)""",
        "v_steps": """\
SELECT run_id, step, node, next_node AS went_to, reason, evaluated, attempt, started_at, finished_at,
    CASE WHEN duration_ms > 0 THEN duration_ms ELSE 0.0 END AS duration_ms
FROM snapshots WHERE run_id NOT IN (SELECT run_id FROM deletions)""",
        "v_states": """\
SELECT point.run_id, point.step, (
        WITH RECURSIVE keys (key) AS (
            SELECT min(c.key) FROM changes c WHERE c.run_id = point.run_id
            UNION ALL
            SELECT (SELECT min(c.key) FROM changes c WHERE c.run_id = point.run_id AND c.key > keys.key)
            FROM keys WHERE keys.key IS NOT NULL
        )
        SELECT '{' || coalesce(group_concat(json_quote(key) || ':' || value, ','), '') || '}' FROM (
            SELECT coalesce(c.long_key, c.key) AS key, coalesce(c.value, (
                SELECT s.value FROM runs r JOIN shared_values s ON s.run_id = r.parent_id
                WHERE r.id = point.run_id AND s.digest = c.shared_digest)) AS value, c.position
            FROM keys JOIN changes c ON c.run_id = point.run_id AND c.key = keys.key AND c.step = (
                SELECT max(l.step) FROM changes l
                WHERE l.run_id = point.run_id AND l.key = keys.key AND l.step <= point.step)
            WHERE c.value IS NOT NULL OR c.shared_digest IS NOT NULL
            ORDER BY c.position, key)
    ) AS state
FROM (
    SELECT run_id, step FROM snapshots WHERE run_id NOT IN (SELECT run_id FROM deletions)
    UNION ALL SELECT id, 0 FROM runs WHERE id NOT IN (SELECT run_id FROM deletions)) AS point""",
        "v_lines": """\
SELECT run_id, seq, ts, level, event, node, step, attempt, message, data FROM log_lines
WHERE run_id NOT IN (SELECT run_id FROM deletions)""",
        "v_decisions": """\
SELECT s.run_id, s.step, s.node, likely(e.key) AS number, json_extract(e.value, '$.to') AS target,
    json_extract(e.value, '$.condition') AS condition, json_extract(e.value, '$.result') AS result,
    json_extract(e.value, '$.operands') AS operands, json_extract(e.value, '$.omitted') AS omitted,
    json_extract(e.value, '$.note') AS note
FROM snapshots s, json_each(s.evaluated) AS e WHERE s.run_id NOT IN (SELECT run_id FROM deletions)""",
        "v_changes": """\
SELECT c.run_id, coalesce(c.long_key, c.key) AS key, c.step, s.node, coalesce(c.value, (
        SELECT v.value FROM shared_values v WHERE v.run_id = r.parent_id AND v.digest = c.shared_digest)) AS value,
    CASE WHEN c.value IS NULL AND c.shared_digest IS NULL THEN 1 ELSE 0 END AS removed,
    coalesce(s.finished_at, r.created_at) AS changed_at
FROM changes c JOIN runs r ON r.id = c.run_id LEFT JOIN snapshots s ON s.run_id = c.run_id AND s.step = c.step
WHERE c.run_id NOT IN (SELECT run_id FROM deletions)""",
        "v_attempts": """\
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
WHERE (a.step IS NOT NULL OR c.step IS NOT NULL) AND r.id NOT IN (SELECT run_id FROM deletions)""",
        "v_waits": """\
SELECT w.run_id, r.status, r.current_node AS node, w.kind, w.name AS signal, w.since, w.due_at,
    CASE WHEN w.kind = 'children' THEN (
        SELECT count(*) FROM runs c WHERE c.parent_id = w.run_id AND c.parent_step = r.step + 1
            AND c.parent_attempt = r.attempt AND c.status IN ('queued', 'running', 'waiting', 'paused'))
    END AS open_children
FROM waits w JOIN runs r ON r.id = w.run_id WHERE r.status IN ('waiting', 'paused')""",
        "v_signals": """\
SELECT run_id, number, name, payload, accepted_at, step FROM signals
WHERE run_id NOT IN (SELECT run_id FROM deletions)""",
        "v_children": """\
SELECT r.parent_id, r.parent_step, r.parent_attempt, r.child_number AS number, r.id AS run_id, g.name AS graph,
    r.status, r.created_at, r.finished_at
FROM runs r JOIN graphs g ON g.id = r.graph_id
WHERE r.parent_id IS NOT NULL AND r.id NOT IN (SELECT run_id FROM deletions)""",
        "v_tags": """\
SELECT r.id AS run_id, t.key, likely(t.value) AS value FROM runs r, json_each(r.tags) AS t
WHERE r.id NOT IN (SELECT run_id FROM deletions)""",
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
    r.parent_id, r.parent_step, r.forked_from_id, r.forked_from_step, r.moved_at,
    greatest(0, round(extract(epoch FROM clock_timestamp() - r.moved_at), 3)) AS still_s
FROM runs r JOIN graphs g ON g.id = r.graph_id
    LEFT JOIN waits w ON w.run_id = r.id AND r.status IN ('waiting', 'paused')
WHERE r.id NOT IN (SELECT run_id FROM deletions)""",
        "v_steps": """\
SELECT run_id, step, node, next_node AS went_to, reason, evaluated, attempt, started_at, finished_at,
    CASE WHEN duration_ms > 0 THEN duration_ms ELSE 0.0 END AS duration_ms
FROM snapshots WHERE run_id NOT IN (SELECT run_id FROM deletions)""",
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
            SELECT coalesce(c.long_key, keys.key) AS key, coalesce(c.value, (
                SELECT s.value FROM runs r JOIN shared_values s ON s.run_id = r.parent_id
                WHERE r.id = point.run_id AND s.digest = c.shared_digest)) AS value, c.position
            FROM keys, LATERAL (
                SELECT l.long_key, l.value, l.shared_digest, l.position FROM changes l
                WHERE l.run_id = point.run_id AND l.key = keys.key AND l.step <= point.step
                ORDER BY l.step DESC LIMIT 1) AS c
            WHERE c.value IS NOT NULL OR c.shared_digest IS NOT NULL) AS latest
    ) AS state
FROM (
    SELECT run_id, step FROM snapshots WHERE run_id NOT IN (SELECT run_id FROM deletions)
    UNION ALL SELECT id, 0 FROM runs WHERE id NOT IN (SELECT run_id FROM deletions)) AS point""",
        "v_lines": """\
SELECT run_id, seq, ts, level, event, node, step, attempt, message, data FROM log_lines
WHERE run_id NOT IN (SELECT run_id FROM deletions)""",
        "v_decisions": """\
SELECT s.run_id, s.step, s.node, e.position - 1 AS number, e.record ->> 'to' AS target,
    e.record ->> 'condition' AS condition, (e.record ->> 'result')::boolean::integer AS result,
    e.record ->> 'operands' AS operands, e.record ->> 'omitted' AS omitted, e.record ->> 'note' AS note
FROM snapshots s, LATERAL json_array_elements(s.evaluated::json) WITH ORDINALITY AS e (record, position)
WHERE s.run_id NOT IN (SELECT run_id FROM deletions)""",
        "v_changes": """\
SELECT c.run_id, coalesce(c.long_key, c.key) AS key, c.step, s.node, coalesce(c.value, (
        SELECT v.value FROM shared_values v WHERE v.run_id = r.parent_id AND v.digest = c.shared_digest)) AS value,
    CASE WHEN c.value IS NULL AND c.shared_digest IS NULL THEN 1 ELSE 0 END AS removed,
    coalesce(s.finished_at, r.created_at) AS changed_at
FROM changes c JOIN runs r ON r.id = c.run_id LEFT JOIN snapshots s ON s.run_id = c.run_id AND s.step = c.step
WHERE c.run_id NOT IN (SELECT run_id FROM deletions)""",
        "v_attempts": """\
SELECT a.run_id, a.step, a.attempt, coalesce(s.node, s.next_node, r.current_node, l.node) AS node,
    a.error::json ->> 'type' AS error_type, a.error::json ->> 'message' AS error_message, a.started_at, a.finished_at,
    greatest(0, round(extract(epoch FROM a.finished_at - a.started_at) * 1000))::double precision AS duration_ms
FROM attempts a JOIN runs r ON r.id = a.run_id LEFT JOIN snapshots s ON s.run_id = a.run_id AND s.step = a.step
    LEFT JOIN log_lines l ON l.run_id = a.run_id AND l.seq = r.last_seq
WHERE a.run_id NOT IN (SELECT run_id FROM deletions)
UNION ALL
SELECT run_id, step, attempt, node, NULL, NULL, started_at, finished_at,
    CASE WHEN duration_ms > 0 THEN duration_ms ELSE 0.0 END
FROM snapshots WHERE reason NOT IN ('patch', 'on_error') AND run_id NOT IN (SELECT run_id FROM deletions)""",
        "v_waits": """\
SELECT w.run_id, r.status, r.current_node AS node, w.kind, w.name AS signal, w.since, w.due_at,
    CASE WHEN w.kind = 'children' THEN (
        SELECT count(*) FROM runs c WHERE c.parent_id = w.run_id AND c.parent_step = r.step + 1
            AND c.parent_attempt = r.attempt AND c.status IN ('queued', 'running', 'waiting', 'paused'))
    END AS open_children
FROM waits w JOIN runs r ON r.id = w.run_id WHERE r.status IN ('waiting', 'paused')""",
        "v_signals": """\
SELECT run_id, number, name, payload, accepted_at, step FROM signals
WHERE run_id NOT IN (SELECT run_id FROM deletions)""",
        "v_children": """\
SELECT r.parent_id, r.parent_step, r.parent_attempt, r.child_number AS number, r.id AS run_id, g.name AS graph,
    r.status, r.created_at, r.finished_at
FROM runs r JOIN graphs g ON g.id = r.graph_id
WHERE r.parent_id IS NOT NULL AND r.id NOT IN (SELECT run_id FROM deletions)""",
        "v_tags": """\
SELECT r.id AS run_id, t.key, t.value FROM runs r, LATERAL json_each_text(r.tags::json) AS t
WHERE r.id NOT IN (SELECT run_id FROM deletions)""",
    },
}
