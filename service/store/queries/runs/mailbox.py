"""List the signals of a run, both those that steps have consumed and those that wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import LargeBinary, bindparam, cast, func, select

from service.core.errors import NotFound
from service.store.database.clock import shown
from service.store.database.reader import Reader
from service.store.schema.kept import is_kept
from service.store.schema.models import runs, signals

SIGNALS_LISTED_MAX = 10_000
"""The most signals that are listed of a run. The oldest are left out."""

_RUN = select(runs.c.id).where(runs.c.id == bindparam("run_id"), is_kept())


def _signals(dialect: str) -> Any:
    size = (
        func.octet_length(signals.c.payload)
        if dialect == "postgresql"
        else func.length(cast(signals.c.payload, LargeBinary))
    )
    return (
        select(signals.c.number, signals.c.name, signals.c.accepted_at, signals.c.step, size.label("byte_length"))
        .where(signals.c.run_id == bindparam("run_id"))
        .order_by(signals.c.number.desc())
        .limit(SIGNALS_LISTED_MAX)
    )


SIGNALS_OF_RUN = {dialect: _signals(dialect) for dialect in ("sqlite", "postgresql")}
"""The signals of a run, by dialect, because the function that measures bytes differs. Parameter: run_id."""


@dataclass(frozen=True, slots=True)
class SignalRecord:
    """A signal that a run has accepted."""

    name: str
    accepted_at: str
    step: int | None
    """The step that consumed it; None while it waits."""
    byte_length: int


async def signals_of(reader: Reader, run_id: str) -> list[SignalRecord]:
    """Return the signals of a run in the order of their acceptance. Raise NotFound if there is no such run."""
    async with reader.snapshot() as snapshot:
        if await snapshot.one(_RUN, run_id=run_id) is None:
            raise NotFound("run", run_id)
        rows = await snapshot.all(SIGNALS_OF_RUN[snapshot.dialect], run_id=run_id)
    return [SignalRecord(row.name, shown(row.accepted_at) or "", row.step, row.byte_length) for row in reversed(rows)]
