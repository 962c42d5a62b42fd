"""Read metrics from the database. Each statement reads a bounded number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, literal_column, select, text

from service.core.metrics import Metric
from service.core.transitions import Status
from service.store.database.clock import NOW, microseconds
from service.store.database.reader import Reader
from service.store.database.statements import constant
from service.store.schema.levels import LEVELS
from service.store.schema.models import runs

COUNTED_MAX = 10_000
"""The highest count of the runs of one status: counting stops there."""


def _count(status: Status) -> Any:
    found = (
        select(literal_column("1").label("one"))
        .where(runs.c.status == constant(status))
        .limit(literal_column(str(COUNTED_MAX)))
        .subquery()
    )
    return select(func.count()).select_from(found).scalar_subquery().label(status.value)


COUNTS = select(*map(_count, Status))
"""The number of runs of each status, up to COUNTED_MAX."""
OLDEST_DUE = {
    dialect: text(
        f"{LEVELS} SELECT min((SELECT min(r.due_at) FROM runs AS r WHERE r.priority = levels.priority"
        f" AND r.due_at IS NOT NULL)) AS due_at, {now} AS now FROM levels"
    )
    for dialect, now in NOW.items()
}
"""Selects the earliest due time of all runs, and the current time. A running run is due when its lease ends."""
SIZE = {
    "sqlite": text("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"),
    "postgresql": text("SELECT pg_catalog.pg_database_size(pg_catalog.current_database())"),
}


async def figures_of(reader: Reader) -> Sequence[Metric]:
    """Return the metrics that are read from the database."""
    async with reader.snapshot() as snapshot:
        counts = await snapshot.one(COUNTS)
        oldest = await snapshot.one(OLDEST_DUE[snapshot.dialect])
        size = await snapshot.one(SIZE[snapshot.dialect])
    age_s = 0.0
    if oldest is not None and oldest.due_at is not None:
        age_s = max(0.0, (microseconds(oldest.now) - microseconds(oldest.due_at)) / 1e6)
    by_status = {} if counts is None else dict(counts._mapping)
    return (
        Metric("runs", "gauge", f"Runs in the database, up to {COUNTED_MAX:,} of each status.", by_status, "status"),
        Metric("queue_age_seconds", "gauge", "How long the run that is due longest has been due.", age_s),
        Metric("database_size_bytes", "gauge", "Size of the database.", float(size[0]) if size else 0.0),
    )
