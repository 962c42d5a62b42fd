"""The tables, as SQL people read them. `migrations/` makes them; a test compares the two.

Texts hold JSON as core's encoder wrote it, never JSONB: key order and numbers stay exact. Times are ISO
8601 text on SQLite and timestamptz on PostgreSQL, both from the database's clock.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from service.core.run import Event, Level, WaitKind
from service.core.transitions import CLAIMABLE, OVER, Status

metadata = MetaData()

Instant = Text().with_variant(TIMESTAMP(timezone=True), "postgresql")

Count = Integer().with_variant(BigInteger(), "postgresql")
"""SQLite's integers have 64 bits anyway."""

Key = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that sorts by code point on both databases, and that no locale of the server's slows down."""


def _one_of(column: str, values: Iterable[str]) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


# Most runs are over, and never due again.
_IS_DUE = text("due_at IS NOT NULL")

_OVER = [status for status in Status if status in OVER]

graphs = Table(
    "graphs",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", Text, nullable=False),
    Column("start_node", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("graphs_newest", "created_at", "id"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Key, primary_key=True),
    Column("graph_id", Key, ForeignKey("graphs.id"), nullable=False),
    Column("status", Text, nullable=False),
    Column("step", Count, nullable=False),
    Column("current_node", Text),
    # Which try of the next step comes next, and how many servers in a row died on it.
    Column("attempt", Count, nullable=False),
    Column("crashes", Count, nullable=False),
    # 0 from a takeover until the next attempt begins: a run that only waited for its turn is no suspect. Of a queued
    # run: 1 where the server that released it has left it to the next one to say that it goes on.
    Column("in_flight", Integer, nullable=False),
    Column("last_seq", Count, nullable=False),
    Column("lease_owner", Key),
    Column("lease_token", Count, nullable=False),
    # When any server may claim the run: at once if queued, when its lease ends if running.
    Column("due_at", Instant),
    Column("error", Text),
    # Failed attempts of the next step that `retry` counts; steps that were patches; a limit in place of the graph's.
    Column("failures", Count, nullable=False, server_default="0"),
    Column("patches", Count, nullable=False, server_default="0"),
    Column("max_steps", Count),
    # 1 where a pause takes effect at the next step boundary.
    Column("pause_asked", Integer, nullable=False, server_default="0"),
    # Of a child: which of those that an attempt of its parent's step has started, and how many runs it stands below.
    # No foreign keys, here and below: SQLite can add none to a table that is there.
    Column("parent_id", Key),
    Column("parent_step", Count),
    Column("parent_attempt", Count),
    Column("child_number", Count),
    Column("depth", Integer, nullable=False, server_default="0"),
    Column("forked_from_id", Key),
    Column("forked_from_step", Count),
    Column("tags", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("moved_at", Instant, nullable=False),
    Column("finished_at", Instant),
    CheckConstraint(_one_of("status", Status), name="runs_status"),
    CheckConstraint("step >= 0 AND attempt >= 1 AND crashes >= 0 AND last_seq >= 0", name="runs_counts"),
    CheckConstraint(
        f"(due_at IS NOT NULL OR NOT {_one_of('status', (Status.QUEUED, Status.RUNNING))})"
        f" AND (due_at IS NULL OR NOT {_one_of('status', [status for status in Status if status not in CLAIMABLE])})",
        name="runs_due",
    ),
    CheckConstraint("(lease_owner IS NOT NULL) = (status = 'running')", name="runs_lease"),
    CheckConstraint(f"(finished_at IS NOT NULL) = ({_one_of('status', _OVER)})", name="runs_finished"),
    CheckConstraint("(error IS NOT NULL) = (status = 'failed')", name="runs_error"),
    CheckConstraint(
        f"(current_node IS NULL) = ({_one_of('status', (Status.COMPLETED, Status.CANCELLED))})", name="runs_node"
    ),
    Index(
        "runs_due_at",
        "due_at",
        "id",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
    Index(
        "runs_children",
        *("parent_id", "status", "parent_step", "parent_attempt", "child_number"),
        sqlite_where=text("parent_id IS NOT NULL"),
        postgresql_where=text("parent_id IS NOT NULL"),
    ),
    Index("runs_newest", "created_at", "id"),
    Index("runs_newest_by_status", "status", "created_at", "id"),
    Index("runs_newest_by_graph", "graph_id", "created_at", "id"),
    # Each step is a new version of its run's row; where that fits on the same page, no index has to know.
    postgresql_with={"fillfactor": 70},
)

run_tags = Table(
    "run_tags",
    metadata,
    Column("tag", Key, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("run_id", Key, ForeignKey("runs.id"), nullable=False),
    PrimaryKeyConstraint("tag", "created_at", "run_id"),
    sqlite_with_rowid=False,
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("run_id", Key, ForeignKey("runs.id"), nullable=False),
    Column("step", Count, nullable=False),
    Column("node", Text),
    Column("attempt", Count, nullable=False),
    Column("lease_token", Count, nullable=False),
    # The decision: where the run went, why, and which edges were asked with what values.
    Column("next_node", Text),
    Column("reason", Text, nullable=False),
    Column("evaluated", Text, nullable=False),
    # 1 where `evaluated` leaves out large operands, named under `omitted`, or a large condition.
    Column("is_abridged", Integer, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant, nullable=False),
    Column("duration_ms", Double, nullable=False),
    PrimaryKeyConstraint("run_id", "step"),
    CheckConstraint("step >= 1", name="snapshots_step"),
    sqlite_with_rowid=False,
)

# The values that each step changed; step 0 is the initial state. The state after step N is, for each key,
# the latest row up to N (none where its value is NULL: removed). The order of the primary key makes that
# a search per key, however many steps there are.
changes = Table(
    "changes",
    metadata,
    Column("run_id", Key, ForeignKey("runs.id"), nullable=False),
    Column("key", Key, nullable=False),
    Column("step", Count, nullable=False),
    Column("value", Text),
    Column("position", Count, nullable=False),
    # The whole key where `key` is a stand-in for it.
    Column("long_key", Text),
    PrimaryKeyConstraint("run_id", "key", "step"),
    sqlite_with_rowid=False,
)

# Attempts that did not end in a commit; the one that did is in `snapshots`.
attempts = Table(
    "attempts",
    metadata,
    Column("run_id", Key, ForeignKey("runs.id"), nullable=False),
    Column("step", Count, nullable=False),
    Column("attempt", Count, nullable=False),
    Column("error", Text, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant, nullable=False),
    PrimaryKeyConstraint("run_id", "step", "attempt"),
    sqlite_with_rowid=False,
)

log_lines = Table(
    "log_lines",
    metadata,
    Column("run_id", Key, ForeignKey("runs.id"), nullable=False),
    Column("seq", Count, nullable=False),
    Column("ts", Instant, nullable=False),
    Column("level", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("node", Text),
    Column("step", Count),
    Column("attempt", Count),
    Column("message", Text, nullable=False),
    Column("data", Text, nullable=False),
    PrimaryKeyConstraint("run_id", "seq"),
    CheckConstraint("seq >= 1", name="log_lines_seq"),
    CheckConstraint(_one_of("level", Level), name="log_lines_level"),
    CheckConstraint(_one_of("event", Event), name="log_lines_event"),
    sqlite_with_rowid=False,
)

# Why a run is parked, since when, and until when at the latest. Kept while the run is paused meanwhile, and until the
# step that waits is committed: whoever takes the run over has to know how long it has waited.
waits = Table(
    "waits",
    metadata,
    Column("run_id", Key, ForeignKey("runs.id"), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text),
    Column("since", Instant, nullable=False),
    Column("due_at", Instant),
    # Of a wait for children: it is over as soon as so many or fewer of them are not.
    Column("open_max", Count),
    CheckConstraint(_one_of("kind", WaitKind), name="waits_kind"),
    CheckConstraint("(name IS NOT NULL) = (kind = 'signal')", name="waits_name"),
    CheckConstraint("(open_max IS NOT NULL) = (kind = 'children')", name="waits_open_max"),
    sqlite_with_rowid=False,
)

# The mailbox of each run. A signal that a step took is kept, with the step. With a rowid on SQLite, which takes a table
# that is its own primary key rather than the index of what waits, and reads all that steps have taken.
signals = Table(
    "signals",
    metadata,
    Column("run_id", Key, ForeignKey("runs.id"), nullable=False),
    Column("number", Count, nullable=False),
    Column("name", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("accepted_at", Instant, nullable=False),
    Column("step", Count),
    PrimaryKeyConstraint("run_id", "number"),
    # Without `name`, which may be longer than an entry of PostgreSQL's indexes.
    Index(
        "signals_waiting",
        *("run_id", "number"),
        sqlite_where=text("step IS NULL"),
        postgresql_where=text("step IS NULL"),
    ),
)

# Steps at each node that has `max_visits`, since the run last began to count.
visits = Table(
    "visits",
    metadata,
    Column("run_id", Key, ForeignKey("runs.id"), nullable=False),
    Column("node", Text, nullable=False),
    Column("count", Count, nullable=False),
    PrimaryKeyConstraint("run_id", "node"),
    sqlite_with_rowid=False,
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("scope", Key, nullable=False),
    Column("key", Key, nullable=False),
    Column("body_digest", Text, nullable=False),
    # Deferred: a start takes its key first, and only then writes the run.
    Column("run_id", Key, ForeignKey("runs.id", deferrable=True, initially="DEFERRED"), nullable=False),
    PrimaryKeyConstraint("scope", "key"),
    sqlite_with_rowid=False,
)

servers = Table(
    "servers",
    metadata,
    Column("id", Key, primary_key=True),
    Column("address", Text, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    # How many runs it carried when it was last seen; NULL of one that executes none.
    Column("active", Integer),
)
