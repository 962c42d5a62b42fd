"""Store large values once that a run gives to all its children.

A child's first state refers to them by digest. A later revision lets the views follow that.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "shared_values",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("digest", KEY, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "digest"),
    )
    op.add_column("changes", sa.Column("shared_digest", KEY, nullable=True))
