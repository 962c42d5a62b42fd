"""A view for every question: decisions, changes, attempts, waits, signals, children, tags; `v_runs.still_s`.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    if dialect == "sqlite":
        op.execute("DROP VIEW v_runs")
    # PostgreSQL replaces `v_runs`, on which views of other people may depend.
    create = "CREATE VIEW" if dialect == "sqlite" else "CREATE OR REPLACE VIEW"
    for name, select in VIEWS[dialect].items():
        op.execute(sa.DDL(f"{create} {name} AS {select}".replace("%", "%%")))


# As they were when this revision was written: `service/store/schema/views.py` may move on.
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
    LEFT JOIN waits w ON w.run_id = r.id AND r.status IN ('waiting', 'paused')""",
        "v_decisions": """\
SELECT s.run_id, s.step, s.node, likely(e.key) AS number, json_extract(e.value, '$.to') AS target,
    json_extract(e.value, '$.condition') AS condition, json_extract(e.value, '$.result') AS result,
    json_extract(e.value, '$.operands') AS operands, json_extract(e.value, '$.omitted') AS omitted,
    json_extract(e.value, '$.note') AS note
FROM snapshots s, json_each(s.evaluated) AS e""",
        "v_changes": """\
SELECT c.run_id, coalesce(c.long_key, c.key) AS key, c.step, s.node, coalesce(c.value, (
        SELECT v.value FROM shared_values v WHERE v.run_id = r.parent_id AND v.digest = c.shared_digest)) AS value,
    CASE WHEN c.value IS NULL AND c.shared_digest IS NULL THEN 1 ELSE 0 END AS removed,
    coalesce(s.finished_at, r.created_at) AS changed_at
FROM changes c JOIN runs r ON r.id = c.run_id LEFT JOIN snapshots s ON s.run_id = c.run_id AND s.step = c.step
WHERE c.run_id IS NOT NULL""",
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
WHERE a.step IS NOT NULL OR c.step IS NOT NULL""",
        "v_waits": """\
SELECT w.run_id, r.status, r.current_node AS node, w.kind, w.name AS signal, w.since, w.due_at,
    CASE WHEN w.kind = 'children' THEN (
        SELECT count(*) FROM runs c WHERE c.parent_id = w.run_id AND c.parent_step = r.step + 1
            AND c.parent_attempt = r.attempt AND c.status IN ('queued', 'running', 'waiting', 'paused'))
    END AS open_children
FROM waits w JOIN runs r ON r.id = w.run_id WHERE r.status IN ('waiting', 'paused')""",
        "v_signals": """\
SELECT run_id, number, name, payload, accepted_at, step FROM signals""",
        "v_children": """\
SELECT r.parent_id, r.parent_step, r.parent_attempt, r.child_number AS number, r.id AS run_id, g.name AS graph,
    r.status, r.created_at, r.finished_at
FROM runs r JOIN graphs g ON g.id = r.graph_id WHERE r.parent_id IS NOT NULL""",
        "v_tags": """\
SELECT r.id AS run_id, t.key, likely(t.value) AS value FROM runs r, json_each(r.tags) AS t""",
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
    LEFT JOIN waits w ON w.run_id = r.id AND r.status IN ('waiting', 'paused')""",
        "v_decisions": """\
SELECT s.run_id, s.step, s.node, e.position - 1 AS number, e.record ->> 'to' AS target,
    e.record ->> 'condition' AS condition, (e.record ->> 'result')::boolean::integer AS result,
    e.record ->> 'operands' AS operands, e.record ->> 'omitted' AS omitted, e.record ->> 'note' AS note
FROM snapshots s, LATERAL json_array_elements(s.evaluated::json) WITH ORDINALITY AS e (record, position)""",
        "v_changes": """\
SELECT c.run_id, coalesce(c.long_key, c.key) AS key, c.step, s.node, coalesce(c.value, (
        SELECT v.value FROM shared_values v WHERE v.run_id = r.parent_id AND v.digest = c.shared_digest)) AS value,
    CASE WHEN c.value IS NULL AND c.shared_digest IS NULL THEN 1 ELSE 0 END AS removed,
    coalesce(s.finished_at, r.created_at) AS changed_at
FROM changes c JOIN runs r ON r.id = c.run_id LEFT JOIN snapshots s ON s.run_id = c.run_id AND s.step = c.step
WHERE c.run_id IS NOT NULL""",
        "v_attempts": """\
SELECT a.run_id, a.step, a.attempt, coalesce(s.node, s.next_node, r.current_node, l.node) AS node,
    a.error::json ->> 'type' AS error_type, a.error::json ->> 'message' AS error_message, a.started_at, a.finished_at,
    greatest(0, round(extract(epoch FROM a.finished_at - a.started_at) * 1000))::double precision AS duration_ms
FROM attempts a JOIN runs r ON r.id = a.run_id LEFT JOIN snapshots s ON s.run_id = a.run_id AND s.step = a.step
    LEFT JOIN log_lines l ON l.run_id = a.run_id AND l.seq = r.last_seq
UNION ALL
SELECT run_id, step, attempt, node, NULL, NULL, started_at, finished_at,
    CASE WHEN duration_ms > 0 THEN duration_ms ELSE 0.0 END
FROM snapshots WHERE reason NOT IN ('patch', 'on_error')""",
        "v_waits": """\
SELECT w.run_id, r.status, r.current_node AS node, w.kind, w.name AS signal, w.since, w.due_at,
    CASE WHEN w.kind = 'children' THEN (
        SELECT count(*) FROM runs c WHERE c.parent_id = w.run_id AND c.parent_step = r.step + 1
            AND c.parent_attempt = r.attempt AND c.status IN ('queued', 'running', 'waiting', 'paused'))
    END AS open_children
FROM waits w JOIN runs r ON r.id = w.run_id WHERE r.status IN ('waiting', 'paused')""",
        "v_signals": """\
SELECT run_id, number, name, payload, accepted_at, step FROM signals""",
        "v_children": """\
SELECT r.parent_id, r.parent_step, r.parent_attempt, r.child_number AS number, r.id AS run_id, g.name AS graph,
    r.status, r.created_at, r.finished_at
FROM runs r JOIN graphs g ON g.id = r.graph_id WHERE r.parent_id IS NOT NULL""",
        "v_tags": """\
SELECT r.id AS run_id, t.key, t.value FROM runs r, LATERAL json_each_text(r.tags::json) AS t""",
    },
}
