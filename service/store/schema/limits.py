"""The tables of limits on attempts, as SQLAlchemy models."""

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from service.store.schema.base import WITHOUT_ROWID, Key, Row, Time, table_of


class LimitRow(Row):
    """A limit on attempts: at most `max` at once or, with a period, at most `max` begun within it."""

    __tablename__ = "limits"
    __table_args__ = (CheckConstraint("max >= 1 AND (per_s IS NULL OR per_s > 0)", name="limits_bounds"),)

    name: Mapped[Key] = mapped_column(primary_key=True)
    max: Mapped[int]
    per_s: Mapped[float | None]  # the period in seconds
    started: Mapped[int] = mapped_column(server_default="0")  # number of the last attempt in `limit_starts`
    created_at: Mapped[Time]
    changed_at: Mapped[Time]


class SlotRow(Row):
    """A slot of a limit. An attempt holds it as long as its run has this lease token and this step.

    Whatever ends the attempt changes the lease or the step, so a slot needs no release. The rows of ended attempts are
    deleted when the limit is next asked for a slot.
    """

    __tablename__ = "slots"
    __table_args__ = (Index("slots_by_limit", "name"), WITHOUT_ROWID)

    run_id: Mapped[Key] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    name: Mapped[Key]  # of the limit, which need not exist
    lease_token: Mapped[int]
    step: Mapped[int]  # committed steps when the attempt began
    since: Mapped[Time]


class LimitStartRow(Row):
    """The start of an attempt under a limit with a period. Rows older than the period are deleted."""

    __tablename__ = "limit_starts"
    __table_args__ = WITHOUT_ROWID

    name: Mapped[Key] = mapped_column(ForeignKey("limits.name"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)  # from 1, in the order of time
    begun_at: Mapped[Time]


limits = table_of(LimitRow)
slots = table_of(SlotRow)
limit_starts = table_of(LimitStartRow)
