"""The tables of schedules, as SQLAlchemy models."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from service.core.schedule import CatchUp, Overlap
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
    next_at: Mapped[Time | None]  # the next tick; NULL: none comes again
    due_at: Mapped[Time | None]  # when a server looks at the schedule; NULL: never, as it is paused
    last_at: Mapped[Time | None]  # the last tick that has passed
    skipped_at: Mapped[Time | None]  # the last tick that started no run because another one was unfinished
    last_run_id: Mapped[Key | None]  # the run that it started last, which may be deleted
    created_at: Mapped[Time]
    updated_at: Mapped[Time]


schedules = table_of(ScheduleRow)
