"""Schedules and webhooks: their tables, which schedule started a run, and whom a run tells of its end.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TIME = sa.Text().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
INTEGER = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        # An earlier revision of the same upgrade may have left deferred checks, and those would refuse an index.
        op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.add_column("runs", sa.Column("schedule_name", KEY))
    op.add_column("runs", sa.Column("schedule_tick", TIME))
    op.add_column("runs", sa.Column("notify", sa.Text()))
    _add_partial_index("runs_of_schedules", "runs", "schedule_name", "status", where="schedule_name IS NOT NULL")
    _create_schedules()
    _create_deliveries()
    for name, select in VIEWS[dialect].items():
        if dialect == "sqlite":
            op.execute(f"DROP VIEW IF EXISTS {name}")
            text = f"CREATE VIEW {name} AS {select}"
        else:
            # Replaced in place, because users may have views that read them.
            text = f"CREATE OR REPLACE VIEW {name} AS {select}"
        op.execute(sa.DDL(text.replace("%", "%%")))


def _create_schedules() -> None:
    op.create_table(
        "schedules",
        sa.Column("name", KEY, nullable=False),
        sa.Column("graph_id", KEY, sa.ForeignKey("graphs.id")),
        sa.Column("graph_name", sa.Text()),
        sa.Column("cron", sa.Text()),
        sa.Column("every_s", sa.Double()),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("overlap", sa.Text(), nullable=False),
        sa.Column("catch_up", sa.Text(), nullable=False),
        sa.Column("is_paused", sa.Integer(), nullable=False),
        sa.Column("next_at", TIME),
        sa.Column("due_at", TIME),
        sa.Column("last_at", TIME),
        sa.Column("skipped_at", TIME),
        sa.Column("last_run_id", KEY),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sa.CheckConstraint("(graph_id IS NULL) <> (graph_name IS NULL)", name="schedules_graph"),
        sa.CheckConstraint("(cron IS NULL) <> (every_s IS NULL)", name="schedules_times"),
        sa.CheckConstraint("overlap IN ('skip', 'start')", name="schedules_overlap"),
        sa.CheckConstraint("catch_up IN ('one', 'all', 'none')", name="schedules_catch_up"),
    )
    _add_partial_index("schedules_due", "schedules", "due_at", "name", where="due_at IS NOT NULL")


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("run_id", KEY, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("number", INTEGER, nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", INTEGER, nullable=False),
        sa.Column("due_at", TIME),
        sa.Column("last_status", INTEGER),
        sa.Column("last_error", sa.Text()),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("finished_at", TIME),
        sa.PrimaryKeyConstraint("run_id", "number"),
        sa.CheckConstraint(
            "event IN ('completed', 'failed', 'paused', 'cancelled', 'waiting')", name="deliveries_event"
        ),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="deliveries_state"),
        sa.CheckConstraint("(finished_at IS NULL) = (state = 'pending')", name="deliveries_finished"),
    )
    _add_partial_index("deliveries_due", "deliveries", "due_at", where="due_at IS NOT NULL")


def _add_partial_index(name: str, table: str, *columns: str, where: str) -> None:
    op.create_index(name, table, [*columns], sqlite_where=sa.text(where), postgresql_where=sa.text(where))


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
    w.kind AS waits_for, CASE WHEN w.kind = 'signal' THEN w.name END AS signal, w.due_at AS waits_until,
    r.parent_id, r.parent_step, r.forked_from_id, r.forked_from_step, r.moved_at,
    max(0.0, round((julianday('now') - julianday(r.moved_at)) * 86400, 3)) AS still_s,
    r.priority, CASE WHEN w.kind = 'limit' THEN w.name END AS limit_name, r.missing_tool,
    r.schedule_name AS schedule, r.schedule_tick AS tick
FROM runs r JOIN graphs g ON g.id = r.graph_id
    LEFT JOIN waits w ON w.run_id = r.id AND r.status IN ('waiting', 'paused')
WHERE r.id NOT IN (SELECT run_id FROM deletions)""",
        "v_schedules": """\
SELECT name, graph_name AS graph, graph_id, cron, every_s, timezone, overlap, catch_up, is_paused AS paused,
    CASE WHEN is_paused = 0 THEN next_at END AS next_at, last_at, skipped_at,
    CASE WHEN last_run_id NOT IN (SELECT run_id FROM deletions) THEN last_run_id END AS last_run_id,
    created_at, updated_at
FROM schedules""",
        "v_deliveries": """\
SELECT run_id, number, event, state, attempts, due_at, last_status, last_error, created_at, finished_at, payload
FROM deliveries WHERE run_id NOT IN (SELECT run_id FROM deletions)""",
    },
    "postgresql": {
        "v_runs": """\
SELECT r.id AS run_id, g.name AS graph, r.graph_id, r.status, r.step, r.current_node, r.created_at, r.started_at,
    r.finished_at,
    CASE WHEN r.started_at IS NOT NULL THEN
        greatest(0, round(extract(epoch FROM coalesce(r.finished_at, clock_timestamp()) - r.started_at), 3))
    END AS duration_s,
    r.error::json ->> 'type' AS error_type, r.error::json ->> 'message' AS error_message,
    w.kind AS waits_for, CASE WHEN w.kind = 'signal' THEN w.name END AS signal, w.due_at AS waits_until,
    r.parent_id, r.parent_step, r.forked_from_id, r.forked_from_step, r.moved_at,
    greatest(0, round(extract(epoch FROM clock_timestamp() - r.moved_at), 3)) AS still_s,
    r.priority, CASE WHEN w.kind = 'limit' THEN w.name END AS limit_name, r.missing_tool,
    r.schedule_name AS schedule, r.schedule_tick AS tick
FROM runs r JOIN graphs g ON g.id = r.graph_id
    LEFT JOIN waits w ON w.run_id = r.id AND r.status IN ('waiting', 'paused')
WHERE r.id NOT IN (SELECT run_id FROM deletions)""",
        "v_schedules": """\
SELECT name, graph_name AS graph, graph_id, cron, every_s, timezone, overlap, catch_up, is_paused AS paused,
    CASE WHEN is_paused = 0 THEN next_at END AS next_at, last_at, skipped_at,
    CASE WHEN last_run_id NOT IN (SELECT run_id FROM deletions) THEN last_run_id END AS last_run_id,
    created_at, updated_at
FROM schedules""",
        "v_deliveries": """\
SELECT run_id, number, event, state, attempts, due_at, last_status, last_error, created_at, finished_at, payload
FROM deliveries WHERE run_id NOT IN (SELECT run_id FROM deletions)""",
    },
}
