"""Indexes for the filters of runs: graphs by name, and forks by the run that was forked.

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
    # The beginning of the name, since an entry of PostgreSQL's indexes is bounded.
    op.create_index("graphs_by_name", "graphs", [sa.text("substr(name, 1, 200)"), "created_at"])
    is_fork = sa.text("forked_from_id IS NOT NULL")
    op.create_index(
        "runs_forks",
        "runs",
        ["forked_from_id", "created_at", "id"],
        sqlite_where=is_fork,
        postgresql_where=is_fork,
    )
