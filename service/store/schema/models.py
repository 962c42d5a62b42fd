"""The tables, as SQLAlchemy models. `migrations/` makes them, and a test compares the two.

Commands use the tables in Core expressions (`runs.c.step`); there is no ORM session.

JSON is stored as text exactly as core's encoder wrote it, never as JSONB: key order and numbers stay exact. Times are
ISO 8601 text on SQLite and timestamptz on PostgreSQL, both from the database's clock.
"""

# Without `from __future__ import annotations`: SQLAlchemy would have to evaluate each annotation from its text.

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

import service.store.schema.limits
import service.store.schema.operations  # noqa: F401  # the tables of both belong to the metadata
from service.core.run import Event, Level, WaitKind
from service.core.transitions import CLAIMABLE, OVER, Status
from service.store.schema.base import WITHOUT_ROWID, Key, Row, Small, Time, one_of, partial_index, table_of

metadata = Row.metadata

_MUST_BE_DUE = one_of("status", (Status.QUEUED, Status.RUNNING))
_NEVER_DUE = one_of("status", [status for status in Status if status not in CLAIMABLE])
_IS_OVER = one_of("status", [status for status in Status if status in OVER])


NAME_CHARS_INDEXED = 200
"""How many characters of a graph's name the indexes contain. PostgreSQL bounds the size of an index entry."""


class GraphRow(Row):
    """A graph. Its id derives from its content, so it never changes."""

    __tablename__ = "graphs"
    __table_args__ = (
        Index("graphs_newest", "created_at", "id"),
        Index("graphs_by_name", text("substr(name, 1, 200)"), "created_at"),
        Index("graphs_latest", text("substr(name, 1, 200)"), text("coalesce(posted_again_at, created_at)")),
    )

    id: Mapped[Key] = mapped_column(primary_key=True)
    name: Mapped[str]
    start_node: Mapped[str]
    definition: Mapped[str]  # canonical JSON
    created_at: Mapped[Time]
    posted_again_at: Mapped[Time | None]  # when it was last posted while another graph was the latest of its name


class RunRow(Row):
    """A run: its position, its status, its lease. The state is in `changes`."""

    __tablename__ = "runs"
    __table_args__ = (
        CheckConstraint(one_of("status", Status), name="runs_status"),
        CheckConstraint("step >= 0 AND attempt >= 1 AND crashes >= 0 AND last_seq >= 0", name="runs_counts"),
        CheckConstraint(
            f"(due_at IS NOT NULL OR NOT {_MUST_BE_DUE}) AND (due_at IS NULL OR NOT {_NEVER_DUE})", name="runs_due"
        ),
        CheckConstraint("(lease_owner IS NOT NULL) = (status = 'running')", name="runs_lease"),
        CheckConstraint(f"(finished_at IS NOT NULL) = ({_IS_OVER})", name="runs_finished"),
        CheckConstraint("(error IS NOT NULL) = (status = 'failed')", name="runs_error"),
        CheckConstraint(
            f"(current_node IS NULL) = ({one_of('status', (Status.COMPLETED, Status.CANCELLED))})", name="runs_node"
        ),
        # Most runs are over and never due again, and most have no parent.
        partial_index("runs_due", "priority", "due_at", "id", where="due_at IS NOT NULL"),
        partial_index(
            "runs_children",
            *("parent_id", "status", "parent_step", "parent_attempt", "child_number"),
            where="parent_id IS NOT NULL",
        ),
        partial_index("runs_left", "missing_tool", "created_at", "id", where="missing_tool IS NOT NULL"),
        partial_index("runs_forks", "forked_from_id", "created_at", "id", where="forked_from_id IS NOT NULL"),
        Index("runs_newest", "created_at", "id"),
        Index("runs_newest_by_status", "status", "created_at", "id"),
        Index("runs_newest_by_graph", "graph_id", "created_at", "id"),
        partial_index("runs_of_schedules", "schedule_name", "status", where="schedule_name IS NOT NULL"),
        # Each step writes a new version of the row. If it fits on the same page, no index has to change.
        {"info": {"with": {"fillfactor": 70}}},
    )

    id: Mapped[Key] = mapped_column(primary_key=True)
    graph_id: Mapped[Key] = mapped_column(ForeignKey("graphs.id"))
    status: Mapped[str]
    step: Mapped[int]  # number of committed steps
    current_node: Mapped[str | None]  # node to execute next; of a failed run, the node where it failed
    attempt: Mapped[int]  # number of the next attempt of the next step, from 1
    crashes: Mapped[int]  # consecutive servers that died while they tried the next step
    # While the run is running: 1 if an attempt may be under way, 0 from a takeover until the next attempt begins. If a
    # server dies while this is 0, the run was not the cause.
    in_flight: Mapped[Small]
    last_seq: Mapped[int]  # `seq` of the last log line; 0 if there is none
    lease_owner: Mapped[Key | None]  # id of the server that executes the run
    lease_token: Mapped[int]  # raised by each claim and cancel; fences every write
    due_at: Mapped[Time | None]  # when any server may claim the run; for a running run, when its lease ends
    error: Mapped[str | None]  # JSON object; why a failed run failed
    failures: Mapped[int] = mapped_column(server_default="0")  # failed attempts of the next step that `retry` counts
    patches: Mapped[int] = mapped_column(server_default="0")  # steps that were patches
    max_steps: Mapped[int | None]  # replaces the graph's limit
    priority: Mapped[Small] = mapped_column(server_default="0")  # -100 to 100; a higher one is claimed first
    pause_asked: Mapped[Small] = mapped_column(server_default="0")  # 1 if the run pauses at its next step boundary
    is_resume_unlogged: Mapped[Small] = mapped_column(server_default="0")  # 1 if the next claim must log run_resumed
    # For a child: which child of which attempt of which step. These columns and `forked_from_id` have no foreign keys,
    # because they were added later, and SQLite cannot add one to an existing table.
    parent_id: Mapped[Key | None]
    parent_step: Mapped[int | None]
    parent_attempt: Mapped[int | None]
    child_number: Mapped[int | None]  # from 0, in the order of the elements
    depth: Mapped[Small] = mapped_column(server_default="0")  # number of runs above this one
    forked_from_id: Mapped[Key | None]  # for a fork: the run and the step whose state it began with
    forked_from_step: Mapped[int | None]
    # For a queued run: the tool that its node calls and that a server lacked, or its stand-in (`rows.states.slot_of`).
    # Only servers that have the tool claim the run.
    missing_tool: Mapped[Key | None] = mapped_column(
        CheckConstraint("missing_tool IS NULL OR status = 'queued'", name="runs_missing_tool")
    )
    traceparent: Mapped[str | None]  # the trace that the run belongs to, as W3C Trace Context writes it
    tracestate: Mapped[str | None]
    # For a run of a schedule: the schedule's name, and the tick that started the run (NULL: somebody has triggered it).
    # The schedule may have been deleted.
    schedule_name: Mapped[Key | None]
    schedule_tick: Mapped[Time | None]
    notify: Mapped[str | None]  # JSON object: which webhook reports which statuses
    tags: Mapped[str]  # JSON object
    created_at: Mapped[Time]
    started_at: Mapped[Time | None]  # first claim
    moved_at: Mapped[Time]  # last claim, commit or resume, or first attempt after a takeover
    finished_at: Mapped[Time | None]


class DeletionRow(Row):
    """A run that is being deleted. Neither calls nor views show it any more; its rows are deleted in small batches."""

    __tablename__ = "deletions"
    __table_args__ = WITHOUT_ROWID

    run_id: Mapped[Key] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    since: Mapped[Time]


class RunTagRow(Row):
    """A tag of a run, for finding runs by tag, newest first."""

    __tablename__ = "run_tags"
    __table_args__ = (Index("run_tags_by_run", "run_id"), WITHOUT_ROWID)

    tag: Mapped[Key] = mapped_column(primary_key=True)  # `key:value`, or its stand-in (`rows.states.slot_of`)
    created_at: Mapped[Time] = mapped_column(primary_key=True)  # the run's
    run_id: Mapped[Key] = mapped_column(ForeignKey("runs.id"), primary_key=True)


class SnapshotRow(Row):
    """A committed step, with the decision that followed it. What it changed is in `changes`."""

    __tablename__ = "snapshots"
    __table_args__ = (CheckConstraint("step >= 1", name="snapshots_step"), WITHOUT_ROWID)

    run_id: Mapped[Key] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    node: Mapped[str | None]  # NULL: a patch
    attempt: Mapped[int]  # the attempt that ended in this step; 0: a patch
    lease_token: Mapped[int]  # of the lease under which it was committed
    next_node: Mapped[str | None]  # where the run went; NULL: it ended
    reason: Mapped[str]  # why it went there
    evaluated: Mapped[str]  # JSON array: the edges that were asked, with the values that they read
    is_abridged: Mapped[Small]  # 1 if `evaluated` leaves out large operands (named under `omitted`) or conditions
    started_at: Mapped[Time]
    finished_at: Mapped[Time]
    duration_ms: Mapped[float]


class ChangeRow(Row):
    """A top-level key that a step set or removed; step 0 holds the initial state.

    The state after step N consists of the latest row of each key up to step N. In the primary key, each of these rows
    is found by one search, however many steps there are.
    """

    __tablename__ = "changes"
    __table_args__ = WITHOUT_ROWID

    run_id: Mapped[Key] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    key: Mapped[Key] = mapped_column(primary_key=True)  # the state's key, or its stand-in (`rows.states.slot_of`)
    step: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[str | None]  # JSON; NULL: removed, or in `shared_values` if there is a `shared_digest`
    position: Mapped[int]  # order of the keys in the state
    long_key: Mapped[str | None]  # the whole key, if `key` is a stand-in
    shared_digest: Mapped[Key | None]  # for step 0 of a child: digest of a value that children share


class SharedValueRow(Row):
    """A large value of a run's state that the first states of its children refer to.

    It is stored once, however many children get it. There is no foreign key: the value stays as long as children of
    the run do, even if the run is deleted. The table has a rowid, so that its primary key is an index without values.
    """

    __tablename__ = "shared_values"

    run_id: Mapped[Key] = mapped_column(primary_key=True)  # the parent
    digest: Mapped[Key] = mapped_column(primary_key=True)  # SHA-256 of the value, in hexadecimal
    value: Mapped[str]  # JSON


class AttemptRow(Row):
    """A failed, lost or interrupted attempt at a step. Successful attempts are in `snapshots`."""

    __tablename__ = "attempts"
    __table_args__ = WITHOUT_ROWID

    run_id: Mapped[Key] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    error: Mapped[str]  # JSON object
    started_at: Mapped[Time]
    finished_at: Mapped[Time]


class LogLineRow(Row):
    """A log line. `seq` counts from 1 without gaps within each run."""

    __tablename__ = "log_lines"
    __table_args__ = (
        CheckConstraint("seq >= 1", name="log_lines_seq"),
        CheckConstraint(one_of("level", Level), name="log_lines_level"),
        CheckConstraint(one_of("event", Event), name="log_lines_event"),
        WITHOUT_ROWID,
    )

    run_id: Mapped[Key] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    ts: Mapped[Time]
    level: Mapped[str]
    event: Mapped[str]
    node: Mapped[str | None]
    step: Mapped[int | None]
    attempt: Mapped[int | None]
    message: Mapped[str]
    data: Mapped[str]  # JSON object


class WaitRow(Row):
    """What a run waits for.

    The row stays if the run is paused while it waits, and until the step that waits is committed: a server that takes
    the run over must know how long the run has waited.
    """

    __tablename__ = "waits"
    __table_args__ = (
        CheckConstraint(one_of("kind", WaitKind), name="waits_kind"),
        CheckConstraint("(name IS NOT NULL) = (kind IN ('signal', 'limit'))", name="waits_name"),
        CheckConstraint("(rank IS NOT NULL) = (kind = 'limit')", name="waits_rank"),
        CheckConstraint("(open_max IS NOT NULL) = (kind = 'children')", name="waits_open_max"),
        # The queue of each limit, in the order in which runs get a slot.
        partial_index("waits_for_limits", "name", "rank", "since", "run_id", where="kind = 'limit'"),
        WITHOUT_ROWID,
    )

    run_id: Mapped[Key] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    kind: Mapped[str]
    name: Mapped[str | None]  # of the signal or of the limit
    since: Mapped[Time]
    due_at: Mapped[Time | None]  # when the wait ends at the latest
    open_max: Mapped[int | None]  # for children: the wait ends when at most this many are unfinished
    rank: Mapped[Small | None]  # for a limit: the run's priority, negated


class SignalRow(Row):
    """A signal in the mailbox of a run. The row stays when a step consumes the signal.

    The table has a rowid on SQLite. Without one, SQLite would search the table itself instead of the partial index,
    and read all signals that were consumed.
    """

    __tablename__ = "signals"
    # `name` is not indexed: it may be longer than an entry of a PostgreSQL index.
    __table_args__ = (partial_index("signals_waiting", "run_id", "number", where="step IS NULL"),)

    run_id: Mapped[Key] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)  # from 1, in the order of the commits
    name: Mapped[str]
    payload: Mapped[str]  # JSON
    accepted_at: Mapped[Time]
    step: Mapped[int | None]  # the step that consumed it; NULL: it waits


class VisitRow(Row):
    """How many steps a run has made at a node that has `max_visits`, since it was last resumed there at the limit."""

    __tablename__ = "visits"
    __table_args__ = WITHOUT_ROWID

    run_id: Mapped[Key] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    node: Mapped[str] = mapped_column(primary_key=True)  # the node's name, or its stand-in (`rows.states.slot_of`)
    count: Mapped[int]


class IdempotencyKeyRow(Row):
    """A client's key for a call, and the run for which it was used."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_by_run", "run_id"), WITHOUT_ROWID)

    scope: Mapped[Key] = mapped_column(primary_key=True)  # the route; for signals also the run
    key: Mapped[Key] = mapped_column(primary_key=True)
    body_digest: Mapped[str]
    # Deferred, because a start inserts its key before its run.
    run_id: Mapped[Key] = mapped_column(ForeignKey("runs.id", deferrable=True, initially="DEFERRED"))


class ServerRow(Row):
    """A server that shares the database."""

    __tablename__ = "servers"

    id: Mapped[Key] = mapped_column(primary_key=True)
    address: Mapped[str]
    started_at: Mapped[Time]
    seen_at: Mapped[Time]
    active: Mapped[Small | None]  # runs that it executed when last seen; NULL: it claims none (no engine or no room)


graphs = table_of(GraphRow)
runs = table_of(RunRow)
deletions = table_of(DeletionRow)
run_tags = table_of(RunTagRow)
snapshots = table_of(SnapshotRow)
changes = table_of(ChangeRow)
shared_values = table_of(SharedValueRow)
attempts = table_of(AttemptRow)
log_lines = table_of(LogLineRow)
waits = table_of(WaitRow)
signals = table_of(SignalRow)
visits = table_of(VisitRow)
idempotency_keys = table_of(IdempotencyKeyRow)
servers = table_of(ServerRow)

TABLES_OF_RUNS = tuple(
    table
    for table in metadata.sorted_tables
    if table is not deletions and any(key.column is runs.c.id for key in table.foreign_keys)
)
"""The tables whose rows belong to a run, and are deleted with it."""
