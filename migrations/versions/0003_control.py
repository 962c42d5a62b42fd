"""Add what control needs: waits, signals, visits, children, forks, pauses and patches.

A patch is a step without a node, so `snapshots.node` may be NULL.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INSTANT = sa.Text().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
COUNT = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

VIEWS_OF_SNAPSHOTS = ("v_steps", "v_states")


def upgrade() -> None:
    add_to_runs()
    add_tables()
    free_node_of_snapshots()
    dialect = op.get_bind().dialect.name
    op.execute("DROP VIEW v_runs")
    op.execute(sa.DDL(f"CREATE VIEW v_runs AS {V_RUNS[dialect]}".replace("%", "%%")))


def add_to_runs() -> None:
    columns = [
        sa.Column("failures", COUNT, nullable=False, server_default="0"),
        sa.Column("patches", COUNT, nullable=False, server_default="0"),
        sa.Column("max_steps", COUNT),
        sa.Column("pause_asked", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("parent_id", KEY),
        sa.Column("parent_step", COUNT),
        sa.Column("parent_attempt", COUNT),
        sa.Column("child_number", COUNT),
        sa.Column("depth", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("forked_from_id", KEY),
        sa.Column("forked_from_step", COUNT),
    ]
    for column in columns:
        op.add_column("runs", column)
    is_child = sa.text("parent_id IS NOT NULL")
    op.create_index(
        "runs_children",
        "runs",
        ["parent_id", "status", "parent_step", "parent_attempt", "child_number"],
        sqlite_where=is_child,
        postgresql_where=is_child,
    )


def add_tables() -> None:
    op.create_table(
        "waits",
        sa.Column("run_id", KEY, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("due_at", INSTANT),
        sa.Column("open_max", COUNT),
        sa.PrimaryKeyConstraint("run_id"),
        sa.CheckConstraint("kind IN ('backoff', 'sleep', 'signal', 'children')", name="waits_kind"),
        sa.CheckConstraint("(name IS NOT NULL) = (kind = 'signal')", name="waits_name"),
        sa.CheckConstraint("(open_max IS NOT NULL) = (kind = 'children')", name="waits_open_max"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "signals",
        sa.Column("run_id", KEY, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("number", COUNT, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("accepted_at", INSTANT, nullable=False),
        sa.Column("step", COUNT),
        sa.PrimaryKeyConstraint("run_id", "number"),
    )
    in_mailbox = sa.text("step IS NULL")
    op.create_index(
        "signals_waiting",
        "signals",
        ["run_id", "number"],
        sqlite_where=in_mailbox,
        postgresql_where=in_mailbox,
    )
    op.create_table(
        "visits",
        sa.Column("run_id", KEY, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("count", COUNT, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "node"),
        sqlite_with_rowid=False,
    )


def free_node_of_snapshots() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("snapshots", "node", nullable=True)
        return
    # SQLite cannot change a column. The table is recreated, and so are the views that read it.
    views = {
        name: op.get_bind().scalar(sa.text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": name})
        for name in VIEWS_OF_SNAPSHOTS
    }
    for name in views:
        op.execute(f"DROP VIEW {name}")
    op.rename_table("snapshots", "snapshots_0002")
    op.create_table(
        "snapshots",
        sa.Column("run_id", KEY, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("step", COUNT, nullable=False),
        sa.Column("node", sa.Text()),
        sa.Column("attempt", COUNT, nullable=False),
        sa.Column("lease_token", COUNT, nullable=False),
        sa.Column("next_node", sa.Text()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evaluated", sa.Text(), nullable=False),
        sa.Column("is_abridged", sa.Integer(), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT, nullable=False),
        sa.Column("duration_ms", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "step"),
        sa.CheckConstraint("step >= 1", name="snapshots_step"),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO snapshots SELECT * FROM snapshots_0002")
    op.drop_table("snapshots_0002")
    for sql in views.values():
        op.execute(sa.DDL(sql.replace("%", "%%")))


# The text when this revision was written. `service/store/schema/views.py` may have changed since.
V_RUNS = {
    "sqlite": """\
SELECT r.id AS run_id, g.name AS graph, r.graph_id, r.status, r.step, r.current_node, r.created_at, r.started_at,
    r.finished_at,
    round((julianday(coalesce(r.finished_at, 'now')) - julianday(r.started_at)) * 86400, 3) AS duration_s,
    json_extract(r.error, '$.type') AS error_type, json_extract(r.error, '$.message') AS error_message,
    w.kind AS waits_for, w.name AS signal, w.due_at AS waits_until,
    r.parent_id, r.parent_step, r.forked_from_id, r.forked_from_step
FROM runs r JOIN graphs g ON g.id = r.graph_id
    LEFT JOIN waits w ON w.run_id = r.id AND r.status IN ('waiting', 'paused')""",
    "postgresql": """\
SELECT r.id AS run_id, g.name AS graph, r.graph_id, r.status, r.step, r.current_node, r.created_at, r.started_at,
    r.finished_at,
    round(extract(epoch FROM coalesce(r.finished_at, clock_timestamp()) - r.started_at), 3) AS duration_s,
    r.error::json ->> 'type' AS error_type, r.error::json ->> 'message' AS error_message,
    w.kind AS waits_for, w.name AS signal, w.due_at AS waits_until,
    r.parent_id, r.parent_step, r.forked_from_id, r.forked_from_step
FROM runs r JOIN graphs g ON g.id = r.graph_id
    LEFT JOIN waits w ON w.run_id = r.id AND r.status IN ('waiting', 'paused')""",
}
