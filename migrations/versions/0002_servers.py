"""Many servers: keys are taken before their runs are written, servers tell how much they do, less is indexed.

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
    op.add_column("servers", sa.Column("active", sa.Integer(), nullable=True))
    due = sa.text("due_at IS NOT NULL")
    op.drop_index("runs_due_at", "runs")
    op.create_index("runs_due_at", "runs", ["due_at", "id"], sqlite_where=due, postgresql_where=due)
    # Made anew, since SQLite cannot change a foreign key.
    op.rename_table("idempotency_keys", "idempotency_keys_0001")
    if op.get_bind().dialect.name == "postgresql":
        # Their names must be free for the new table.
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
