"""Leave runs to servers that have their tools, and keep the trace that a run belongs to.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

KEY = {"sqlite": "TEXT", "postgresql": 'TEXT COLLATE "C"'}


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    # As text, because Alembic would build the whole table anew on SQLite to add a CHECK.
    op.execute(
        f"ALTER TABLE runs ADD COLUMN missing_tool {KEY[dialect]}"
        " CONSTRAINT runs_missing_tool CHECK (missing_tool IS NULL OR status = 'queued')"
    )
    op.add_column("runs", sa.Column("traceparent", sa.Text()))
    op.add_column("runs", sa.Column("tracestate", sa.Text()))
    is_left = sa.text("missing_tool IS NOT NULL")
    op.create_index(
        "runs_left",
        "runs",
        ["missing_tool", "created_at", "id"],
        sqlite_where=is_left,
        postgresql_where=is_left,
    )
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
    w.kind AS waits_for, CASE WHEN w.kind = 'signal' THEN w.name END AS signal, w.due_at AS waits_until,
    r.parent_id, r.parent_step, r.forked_from_id, r.forked_from_step, r.moved_at,
    max(0.0, round((julianday('now') - julianday(r.moved_at)) * 86400, 3)) AS still_s,
    r.priority, CASE WHEN w.kind = 'limit' THEN w.name END AS limit_name, r.missing_tool
FROM runs r JOIN graphs g ON g.id = r.graph_id
    LEFT JOIN waits w ON w.run_id = r.id AND r.status IN ('waiting', 'paused')
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
    w.kind AS waits_for, CASE WHEN w.kind = 'signal' THEN w.name END AS signal, w.due_at AS waits_until,
    r.parent_id, r.parent_step, r.forked_from_id, r.forked_from_step, r.moved_at,
    greatest(0, round(extract(epoch FROM clock_timestamp() - r.moved_at), 3)) AS still_s,
    r.priority, CASE WHEN w.kind = 'limit' THEN w.name END AS limit_name, r.missing_tool
FROM runs r JOIN graphs g ON g.id = r.graph_id
    LEFT JOIN waits w ON w.run_id = r.id AND r.status IN ('waiting', 'paused')
WHERE r.id NOT IN (SELECT run_id FROM deletions)""",
    },
}
