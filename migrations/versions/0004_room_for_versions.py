"""Leave room on the pages of `runs` on PostgreSQL.

The next version of a row fits on the same page, so that a step need not change the indexes.

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE runs SET (fillfactor = 70)")
