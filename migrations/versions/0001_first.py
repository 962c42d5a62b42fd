"""Graphs, runs, what their steps changed, lines, keys, servers; and the views.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.Text().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
COUNT = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "graphs",
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("start_node", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("graphs_newest", "graphs", ["created_at", "id"], unique=False)
    op.create_table(
        "servers",
        sa.Column("id", KEY, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "runs",
        sa.Column("id", KEY, nullable=False),
        sa.Column("graph_id", KEY, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("step", COUNT, nullable=False),
        sa.Column("current_node", sa.Text(), nullable=True),
        sa.Column("attempt", COUNT, nullable=False),
        sa.Column("crashes", COUNT, nullable=False),
        sa.Column("in_flight", sa.Integer(), nullable=False),
        sa.Column("last_seq", COUNT, nullable=False),
        sa.Column("lease_owner", KEY, nullable=True),
        sa.Column("lease_token", COUNT, nullable=False),
        sa.Column("due_at", INSTANT, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("started_at", INSTANT, nullable=True),
        sa.Column("moved_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.CheckConstraint("(current_node IS NULL) = (status IN ('completed', 'cancelled'))", name="runs_node"),
        sa.CheckConstraint(
            "(due_at IS NOT NULL OR NOT status IN ('queued', 'running'))"
            " AND (due_at IS NULL OR NOT status IN ('paused', 'completed', 'failed', 'cancelled'))",
            name="runs_due",
        ),
        sa.CheckConstraint("(error IS NOT NULL) = (status = 'failed')", name="runs_error"),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled'))", name="runs_finished"
        ),
        sa.CheckConstraint("(lease_owner IS NOT NULL) = (status = 'running')", name="runs_lease"),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'waiting', 'paused', 'completed', 'failed', 'cancelled')",
            name="runs_status",
        ),
        sa.CheckConstraint("step >= 0 AND attempt >= 1 AND crashes >= 0 AND last_seq >= 0", name="runs_counts"),
        sa.ForeignKeyConstraint(
            ["graph_id"],
            ["graphs.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("runs_due_at", "runs", ["due_at", "id"], unique=False)
    op.create_index("runs_newest", "runs", ["created_at", "id"], unique=False)
    op.create_index("runs_newest_by_graph", "runs", ["graph_id", "created_at", "id"], unique=False)
    op.create_index("runs_newest_by_status", "runs", ["status", "created_at", "id"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("step", COUNT, nullable=False),
        sa.Column("attempt", COUNT, nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["runs.id"],
        ),
        sa.PrimaryKeyConstraint("run_id", "step", "attempt"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "changes",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("step", COUNT, nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("position", COUNT, nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["runs.id"],
        ),
        sa.PrimaryKeyConstraint("run_id", "key", "step"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("scope", KEY, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("body_digest", sa.Text(), nullable=False),
        sa.Column("run_id", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["runs.id"],
        ),
        sa.PrimaryKeyConstraint("scope", "key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "log_lines",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("seq", COUNT, nullable=False),
        sa.Column("ts", INSTANT, nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=True),
        sa.Column("step", COUNT, nullable=True),
        sa.Column("attempt", COUNT, nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "event IN ('run_started', 'step_completed', 'step_failed', 'step_retrying', 'run_resumed', 'run_waiting',"
            " 'run_paused', 'run_completed', 'run_failed', 'run_cancelled', 'log')",
            name="log_lines_event",
        ),
        sa.CheckConstraint("level IN ('debug', 'info', 'warning', 'error')", name="log_lines_level"),
        sa.CheckConstraint("seq >= 1", name="log_lines_seq"),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["runs.id"],
        ),
        sa.PrimaryKeyConstraint("run_id", "seq"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run_tags",
        sa.Column("tag", KEY, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("run_id", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["runs.id"],
        ),
        sa.PrimaryKeyConstraint("tag", "created_at", "run_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "snapshots",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("step", COUNT, nullable=False),
        sa.Column("node", sa.Text(), nullable=True),
        sa.Column("attempt", COUNT, nullable=False),
        sa.Column("lease_token", COUNT, nullable=False),
        sa.Column("next_node", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evaluated", sa.Text(), nullable=False),
        sa.Column("is_abridged", sa.Integer(), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT, nullable=False),
        sa.Column("duration_ms", sa.Double(), nullable=False),
        sa.CheckConstraint("step >= 1", name="snapshots_step"),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["runs.id"],
        ),
        sa.PrimaryKeyConstraint("run_id", "step"),
        sqlite_with_rowid=False,
    )
    for name, select in VIEWS[op.get_bind().dialect.name].items():
        op.execute(sa.DDL(f"CREATE VIEW {name} AS {select}".replace("%", "%%")))


# The text when this revision was written. `service/store/schema/views.py` may have changed since.
VIEWS = {
    "sqlite": {
        "v_runs": """\
SELECT r.id AS run_id, g.name AS graph, r.graph_id, r.status, r.step, r.current_node, r.created_at, r.started_at,
    r.finished_at,
    round((julianday(coalesce(r.finished_at, 'now')) - julianday(r.started_at)) * 86400, 3) AS duration_s,
    json_extract(r.error, '$.type') AS error_type, json_extract(r.error, '$.message') AS error_message
FROM runs r JOIN graphs g ON g.id = r.graph_id""",
        "v_steps": """\
SELECT run_id, step, node, next_node AS went_to, reason, evaluated, attempt, started_at, finished_at, duration_ms
FROM snapshots""",
        "v_states": """\
SELECT at.run_id, at.step, (
        WITH RECURSIVE keys (key) AS (
            SELECT min(c.key) FROM changes c WHERE c.run_id = at.run_id
            UNION ALL
            SELECT (SELECT min(c.key) FROM changes c WHERE c.run_id = at.run_id AND c.key > keys.key)
            FROM keys WHERE keys.key IS NOT NULL
        )
        SELECT '{' || coalesce(group_concat(json_quote(key) || ':' || value, ','), '') || '}' FROM (
            SELECT c.key, c.value, c.position
            FROM keys JOIN changes c ON c.run_id = at.run_id AND c.key = keys.key AND c.step = (
                SELECT max(l.step) FROM changes l
                WHERE l.run_id = at.run_id AND l.key = keys.key AND l.step <= at.step)
            WHERE c.value IS NOT NULL
            ORDER BY c.position, c.key)
    ) AS state
FROM (SELECT run_id, step FROM snapshots UNION ALL SELECT id, 0 FROM runs) AS at""",
        "v_lines": """\
SELECT run_id, seq, ts, level, event, node, step, attempt, message, data FROM log_lines""",
    },
    "postgresql": {
        "v_runs": """\
SELECT r.id AS run_id, g.name AS graph, r.graph_id, r.status, r.step, r.current_node, r.created_at, r.started_at,
    r.finished_at,
    round(extract(epoch FROM coalesce(r.finished_at, clock_timestamp()) - r.started_at), 3) AS duration_s,
    r.error::json ->> 'type' AS error_type, r.error::json ->> 'message' AS error_message
FROM runs r JOIN graphs g ON g.id = r.graph_id""",
        "v_steps": """\
SELECT run_id, step, node, next_node AS went_to, reason, evaluated, attempt, started_at, finished_at, duration_ms
FROM snapshots""",
        "v_states": """\
SELECT at.run_id, at.step, (
        WITH RECURSIVE keys (key) AS (
            SELECT min(c.key) FROM changes c WHERE c.run_id = at.run_id
            UNION ALL
            SELECT (SELECT min(c.key) FROM changes c WHERE c.run_id = at.run_id AND c.key > keys.key)
            FROM keys WHERE keys.key IS NOT NULL
        )
        SELECT '{' || coalesce(string_agg(to_json(key)::text || ':' || value, ',' ORDER BY position, key), '') || '}'
        FROM (
            SELECT c.key, c.value, c.position
            FROM keys JOIN changes c ON c.run_id = at.run_id AND c.key = keys.key AND c.step = (
                SELECT max(l.step) FROM changes l
                WHERE l.run_id = at.run_id AND l.key = keys.key AND l.step <= at.step)
            WHERE c.value IS NOT NULL) AS latest
    ) AS state
FROM (SELECT run_id, step FROM snapshots UNION ALL SELECT id, 0 FROM runs) AS at""",
        "v_lines": """\
SELECT run_id, seq, ts, level, event, node, step, attempt, message, data FROM log_lines""",
    },
}
