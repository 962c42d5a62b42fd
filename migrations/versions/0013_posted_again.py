"""Remember when a graph was posted again, so that it is the latest of its name.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("graphs", sa.Column("posted_again_at", sa.Text().with_variant(sa.TIMESTAMP(True), "postgresql")))
    op.create_index(
        "graphs_latest", "graphs", [sa.text("substr(name, 1, 200)"), sa.text("coalesce(posted_again_at, created_at)")]
    )
