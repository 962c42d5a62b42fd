"""Split runs.in_flight: whether the next claim must log run_resumed gets a column of its own.

For queued runs, in_flight said that a server had released the run. From now on it speaks of running runs only.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("is_resume_unlogged", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE runs SET is_resume_unlogged = 1 WHERE status = 'queued' AND in_flight = 1")
