"""Add limits on attempts, their slots, and priorities of runs.

SQLite cannot change a CHECK, so `waits` is made anew there.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TIME = sa.Text().with_variant(sa.TIMESTAMP(timezone=True), "postgresql")
COUNT = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

KINDS = "kind IN ('backoff', 'sleep', 'signal', 'children', 'limit')"
NAMED = "(name IS NOT NULL) = (kind IN ('signal', 'limit'))"
RANKED = "(rank IS NOT NULL) = (kind = 'limit')"


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        # An earlier revision of the same upgrade may have left deferred checks, and those would refuse an index.
        op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    else:
        for name in VIEWS[dialect]:
            op.execute(f"DROP VIEW IF EXISTS {name}")
    add_priorities()
    add_limits()
    if dialect == "postgresql":
        change_waits()
    else:
        make_waits_anew()
    op.create_index(
        "waits_for_limits",
        "waits",
        ["name", "rank", "since", "run_id"],
        sqlite_where=sa.text("kind = 'limit'"),
        postgresql_where=sa.text("kind = 'limit'"),
    )
    for name, select in VIEWS[dialect].items():
        # Replaced in place on PostgreSQL, because users may have views that read them.
        replace = "" if dialect == "sqlite" else "OR REPLACE "
        op.execute(sa.DDL(f"CREATE {replace}VIEW {name} AS {select}".replace("%", "%%")))


def add_priorities() -> None:
    op.add_column("runs", sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
    op.drop_index("runs_due_at", "runs")
    is_due = sa.text("due_at IS NOT NULL")
    op.create_index("runs_due", "runs", ["priority", "due_at", "id"], sqlite_where=is_due, postgresql_where=is_due)


def add_limits() -> None:
    op.create_table(
        "limits",
        sa.Column("name", KEY, nullable=False),
        sa.Column("max", COUNT, nullable=False),
        sa.Column("per_s", sa.Double()),
        sa.Column("started", COUNT, nullable=False, server_default="0"),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sa.CheckConstraint("max >= 1 AND (per_s IS NULL OR per_s > 0)", name="limits_bounds"),
    )
    op.create_table(
        "slots",
        sa.Column("run_id", KEY, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("lease_token", COUNT, nullable=False),
        sa.Column("step", COUNT, nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("slots_by_limit", "slots", ["name"])
    op.create_table(
        "limit_starts",
        sa.Column("name", KEY, sa.ForeignKey("limits.name"), nullable=False),
        sa.Column("number", COUNT, nullable=False),
        sa.Column("begun_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", "number"),
        sqlite_with_rowid=False,
    )


def change_waits() -> None:
    op.add_column("waits", sa.Column("rank", sa.Integer()))
    op.drop_constraint("waits_kind", "waits")
    op.drop_constraint("waits_name", "waits")
    for name, check in (("waits_kind", KINDS), ("waits_name", NAMED), ("waits_rank", RANKED)):
        op.create_check_constraint(name, "waits", check)


def make_waits_anew() -> None:
    op.rename_table("waits", "waits_0009")
    op.create_table(
        "waits",
        sa.Column("run_id", KEY, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("since", TIME, nullable=False),
        sa.Column("due_at", TIME),
        sa.Column("open_max", COUNT),
        sa.Column("rank", sa.Integer()),
        sa.PrimaryKeyConstraint("run_id"),
        sa.CheckConstraint(KINDS, name="waits_kind"),
        sa.CheckConstraint(NAMED, name="waits_name"),
        sa.CheckConstraint("(open_max IS NOT NULL) = (kind = 'children')", name="waits_open_max"),
        sa.CheckConstraint(RANKED, name="waits_rank"),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO waits SELECT run_id, kind, name, since, due_at, open_max, NULL FROM waits_0009")
    op.drop_table("waits_0009")


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
    r.priority, CASE WHEN w.kind = 'limit' THEN w.name END AS limit_name
FROM runs r JOIN graphs g ON g.id = r.graph_id
    LEFT JOIN waits w ON w.run_id = r.id AND r.status IN ('waiting', 'paused')
WHERE r.id NOT IN (SELECT run_id FROM deletions)""",
        "v_waits": """\
SELECT w.run_id, r.status, r.current_node AS node, w.kind, CASE WHEN w.kind = 'signal' THEN w.name END AS signal,
    w.since, w.due_at,
    CASE WHEN w.kind = 'children' THEN (
        SELECT count(*) FROM runs c WHERE c.parent_id = w.run_id AND c.parent_step = r.step + 1
            AND c.parent_attempt = r.attempt AND c.status IN ('queued', 'running', 'waiting', 'paused'))
    END AS open_children, CASE WHEN w.kind = 'limit' THEN w.name END AS limit_name
FROM waits w JOIN runs r ON r.id = w.run_id WHERE r.status IN ('waiting', 'paused')""",
        "v_limits": """\
SELECT l.name, l.max, l.per_s, CASE WHEN l.per_s IS NULL THEN (
        SELECT count(*) FROM slots s JOIN runs r ON r.id = s.run_id AND r.lease_token = s.lease_token
            AND r.step = s.step AND r.lease_owner IS NOT NULL WHERE s.name = l.name)
    ELSE (
        SELECT count(*) FROM limit_starts b WHERE b.name = l.name
            AND julianday(b.begun_at) > julianday('now') - l.per_s / 86400.0)
    END AS in_use, (
        SELECT count(*) FROM waits w JOIN runs r ON r.id = w.run_id
        WHERE w.kind = 'limit' AND w.name = l.name AND r.status = 'waiting') AS waiting,
    l.created_at, l.changed_at
FROM limits l""",
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
    r.priority, CASE WHEN w.kind = 'limit' THEN w.name END AS limit_name
FROM runs r JOIN graphs g ON g.id = r.graph_id
    LEFT JOIN waits w ON w.run_id = r.id AND r.status IN ('waiting', 'paused')
WHERE r.id NOT IN (SELECT run_id FROM deletions)""",
        "v_waits": """\
SELECT w.run_id, r.status, r.current_node AS node, w.kind, CASE WHEN w.kind = 'signal' THEN w.name END AS signal,
    w.since, w.due_at,
    CASE WHEN w.kind = 'children' THEN (
        SELECT count(*) FROM runs c WHERE c.parent_id = w.run_id AND c.parent_step = r.step + 1
            AND c.parent_attempt = r.attempt AND c.status IN ('queued', 'running', 'waiting', 'paused'))
    END AS open_children, CASE WHEN w.kind = 'limit' THEN w.name END AS limit_name
FROM waits w JOIN runs r ON r.id = w.run_id WHERE r.status IN ('waiting', 'paused')""",
        "v_limits": """\
SELECT l.name, l.max, l.per_s, CASE WHEN l.per_s IS NULL THEN (
        SELECT count(*) FROM slots s JOIN runs r ON r.id = s.run_id AND r.lease_token = s.lease_token
            AND r.step = s.step AND r.lease_owner IS NOT NULL WHERE s.name = l.name)
    ELSE (
        SELECT count(*) FROM limit_starts b WHERE b.name = l.name
            AND b.begun_at > clock_timestamp() - make_interval(secs => l.per_s))
    END AS in_use, (
        SELECT count(*) FROM waits w JOIN runs r ON r.id = w.run_id
        WHERE w.kind = 'limit' AND w.name = l.name COLLATE "default" AND r.status = 'waiting') AS waiting,
    l.created_at, l.changed_at
FROM limits l""",
    },
}
