"""Prepare for several servers, and for state keys of any length.

A start takes its idempotency key before it writes the run, servers note how many runs they execute, and the index of
due times holds only runs that are due. If an index cannot hold a key of the state, `changes.key` holds a stand-in.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    op.add_column("servers", sa.Column("active", sa.Integer(), nullable=True))
    op.add_column("changes", sa.Column("long_key", sa.Text(), nullable=True))
    op.execute("DROP VIEW v_states")
    op.execute(sa.DDL(f"CREATE VIEW v_states AS {V_STATES[dialect]}".replace("%", "%%")))
    due = sa.text("due_at IS NOT NULL")
    op.drop_index("runs_due_at", "runs")
    op.create_index("runs_due_at", "runs", ["due_at", "id"], sqlite_where=due, postgresql_where=due)
    # The table is recreated, because SQLite cannot change a foreign key.
    op.rename_table("idempotency_keys", "idempotency_keys_0001")
    if dialect == "postgresql":
        # The new table needs these names.
        for name in ("pkey", "run_id_fkey"):
            op.execute(f"ALTER TABLE idempotency_keys_0001 RENAME CONSTRAINT idempotency_keys_{name} TO old_{name}")
    op.create_table(
        "idempotency_keys",
        sa.Column("scope", KEY, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("body_digest", sa.Text(), nullable=False),
        sa.Column("run_id", KEY, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], deferrable=True, initially="DEFERRED"),
        sa.PrimaryKeyConstraint("scope", "key"),
        sqlite_with_rowid=False,
    )
    columns = "scope, key, body_digest, run_id"
    op.execute(f"INSERT INTO idempotency_keys ({columns}) SELECT {columns} FROM idempotency_keys_0001")
    op.drop_table("idempotency_keys_0001")


# The text when this revision was written. `service/store/schema/views.py` may have changed since.
V_STATES = {
    "sqlite": """\
SELECT at.run_id, at.step, (
        WITH RECURSIVE keys (key) AS (
            SELECT min(c.key) FROM changes c WHERE c.run_id = at.run_id
            UNION ALL
            SELECT (SELECT min(c.key) FROM changes c WHERE c.run_id = at.run_id AND c.key > keys.key)
            FROM keys WHERE keys.key IS NOT NULL
        )
        SELECT '{' || coalesce(group_concat(json_quote(key) || ':' || value, ','), '') || '}' FROM (
            SELECT coalesce(c.long_key, c.key) AS key, c.value, c.position
            FROM keys JOIN changes c ON c.run_id = at.run_id AND c.key = keys.key AND c.step = (
                SELECT max(l.step) FROM changes l
                WHERE l.run_id = at.run_id AND l.key = keys.key AND l.step <= at.step)
            WHERE c.value IS NOT NULL
            ORDER BY c.position, key)
    ) AS state
FROM (SELECT run_id, step FROM snapshots UNION ALL SELECT id, 0 FROM runs) AS at""",
    "postgresql": """\
SELECT at.run_id, at.step, (
        WITH RECURSIVE keys (key) AS (
            SELECT min(c.key) FROM changes c WHERE c.run_id = at.run_id
            UNION ALL
            SELECT (SELECT min(c.key) FROM changes c WHERE c.run_id = at.run_id AND c.key > keys.key)
            FROM keys WHERE keys.key IS NOT NULL
        )
        SELECT '{' || coalesce(string_agg(to_json(key)::text || ':' || value, ',' ORDER BY position, key), '') || '}'
        FROM (
            SELECT coalesce(c.long_key, keys.key) AS key, c.value, c.position
            FROM keys, LATERAL (
                SELECT l.long_key, l.value, l.position FROM changes l
                WHERE l.run_id = at.run_id AND l.key = keys.key AND l.step <= at.step
                ORDER BY l.step DESC LIMIT 1) AS c
            WHERE c.value IS NOT NULL) AS latest
    ) AS state
FROM (SELECT run_id, step FROM snapshots UNION ALL SELECT id, 0 FROM runs) AS at""",
}
