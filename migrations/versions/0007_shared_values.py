"""Store large values once that a run gives to all its children.

A child's first state refers to them by digest, which the view of states has to follow.

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
    dialect = op.get_bind().dialect.name
    if dialect == "sqlite":
        op.execute("DROP VIEW v_states")
        create = "CREATE VIEW"
    else:
        create = "CREATE OR REPLACE VIEW"  # Views that somebody has made of it stay.
    op.execute(sa.DDL(f"{create} v_states AS {V_STATES[dialect]}".replace("%", "%%")))


# The view when this revision was written; `service/store/schema/views.py` may have changed since.
V_STATES = {
    "sqlite": """\
SELECT point.run_id, point.step, (
        WITH RECURSIVE keys (key) AS (
            SELECT min(c.key) FROM changes c WHERE c.run_id = point.run_id
            UNION ALL
            SELECT (SELECT min(c.key) FROM changes c WHERE c.run_id = point.run_id AND c.key > keys.key)
            FROM keys WHERE keys.key IS NOT NULL
        )
        SELECT '{' || coalesce(group_concat(json_quote(key) || ':' || value, ','), '') || '}' FROM (
            SELECT coalesce(c.long_key, c.key) AS key, coalesce(c.value, (
                SELECT s.value FROM runs r JOIN shared_values s ON s.run_id = r.parent_id
                WHERE r.id = point.run_id AND s.digest = c.shared_digest)) AS value, c.position
            FROM keys JOIN changes c ON c.run_id = point.run_id AND c.key = keys.key AND c.step = (
                SELECT max(l.step) FROM changes l
                WHERE l.run_id = point.run_id AND l.key = keys.key AND l.step <= point.step)
            WHERE c.value IS NOT NULL OR c.shared_digest IS NOT NULL
            ORDER BY c.position, key)
    ) AS state
FROM (SELECT run_id, step FROM snapshots WHERE run_id IS NOT NULL UNION ALL SELECT id, 0 FROM runs) AS point""",
    "postgresql": """\
SELECT point.run_id, point.step, (
        WITH RECURSIVE keys (key) AS (
            SELECT min(c.key) FROM changes c WHERE c.run_id = point.run_id
            UNION ALL
            SELECT (SELECT min(c.key) FROM changes c WHERE c.run_id = point.run_id AND c.key > keys.key)
            FROM keys WHERE keys.key IS NOT NULL
        )
        SELECT '{' || coalesce(string_agg(to_json(key)::text || ':' || value, ',' ORDER BY position, key), '') || '}'
        FROM (
            SELECT coalesce(c.long_key, keys.key) AS key, coalesce(c.value, (
                SELECT s.value FROM runs r JOIN shared_values s ON s.run_id = r.parent_id
                WHERE r.id = point.run_id AND s.digest = c.shared_digest)) AS value, c.position
            FROM keys, LATERAL (
                SELECT l.long_key, l.value, l.shared_digest, l.position FROM changes l
                WHERE l.run_id = point.run_id AND l.key = keys.key AND l.step <= point.step
                ORDER BY l.step DESC LIMIT 1) AS c
            WHERE c.value IS NOT NULL OR c.shared_digest IS NOT NULL) AS latest
    ) AS state
FROM (SELECT run_id, step FROM snapshots WHERE run_id IS NOT NULL UNION ALL SELECT id, 0 FROM runs) AS point""",
}
