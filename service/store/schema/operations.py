"""The tables of schedules and of webhooks, as SQLAlchemy models."""

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from service.core.operations.schedule import CatchUp, Overlap
from service.core.operations.webhooks import EVENTS, DeliveryState
from service.store.schema.base import Key, Row, Small, Time, one_of, partial_index, table_of


class ScheduleRow(Row):
    """A schedule, which starts a run at each of its ticks."""

    __tablename__ = "schedules"
    __table_args__ = (
        CheckConstraint("(graph_id IS NULL) <> (graph_name IS NULL)", name="schedules_graph"),
        CheckConstraint("(cron IS NULL) <> (every_s IS NULL)", name="schedules_times"),
        CheckConstraint(one_of("overlap", Overlap), name="schedules_overlap"),
        CheckConstraint(one_of("catch_up", CatchUp), name="schedules_catch_up"),
        partial_index("schedules_due", "due_at", "name", where="due_at IS NOT NULL"),
    )

    name: Mapped[Key] = mapped_column(primary_key=True)
    graph_id: Mapped[Key | None] = mapped_column(ForeignKey("graphs.id"))
    graph_name: Mapped[str | None]  # the latest graph of this name, at each tick
    cron: Mapped[str | None]
    every_s: Mapped[float | None]
    timezone: Mapped[str]  # IANA's name
    state: Mapped[str]  # JSON object: the initial state of the runs
    tags: Mapped[str]  # JSON object: their tags
    overlap: Mapped[str]
    catch_up: Mapped[str]
    is_paused: Mapped[Small]
    next_at: Mapped[Time | None]  # the next tick; NULL: no tick follows
    due_at: Mapped[Time | None]  # when a server checks for the next tick; NULL: paused, or no tick follows
    last_at: Mapped[Time | None]  # the last tick that has passed
    skipped_at: Mapped[Time | None]  # the last tick that started no run because another one was unfinished
    last_run_id: Mapped[Key | None]  # the run that the schedule started last; it may have been deleted
    created_at: Mapped[Time]
    updated_at: Mapped[Time]


class DeliveryRow(Row):
    """An event of a run, for the URL in its `notify`. The transaction that changes the status inserts the row.

    The deliveries of a run are sent in order, so only the first unfinished one has a due time. The table has a rowid on
    SQLite, so that SQLite searches the partial index and not the table itself.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        CheckConstraint(one_of("event", EVENTS), name="deliveries_event"),
        CheckConstraint(one_of("state", DeliveryState), name="deliveries_state"),
        CheckConstraint("(finished_at IS NULL) = (state = 'pending')", name="deliveries_finished"),
        partial_index("deliveries_due", "due_at", where="due_at IS NOT NULL"),
    )

    run_id: Mapped[Key] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)  # from 1, in the order of the commits
    event: Mapped[str]  # the status that the run took
    payload: Mapped[str]  # JSON object: the body that is sent
    host: Mapped[str]  # of the URL; a server bounds how much it sends to one host at once
    state: Mapped[str]
    attempts: Mapped[int]  # how often it was sent, including an attempt in progress; fences the outcome
    due_at: Mapped[Time | None]  # when a server may send it; while one is sending it, when another may
    last_status: Mapped[int | None]  # HTTP status of the receiver's last answer
    last_error: Mapped[str | None]  # why the last attempt failed
    created_at: Mapped[Time]
    finished_at: Mapped[Time | None]


schedules = table_of(ScheduleRow)
deliveries = table_of(DeliveryRow)
