"""Read the mailbox of a run for the step that will consume a signal."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from service.core.moves import NoSignal, Received
from service.store.database.clock import microseconds
from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.database.writing.writer import Writer
from service.store.schema.models import signals

_OLDEST = Statement(
    select(signals.c.number, signals.c.payload, signals.c.accepted_at)
    .where(signals.c.run_id == bindparam("run_id"), signals.c.step.is_(None), signals.c.name == bindparam("name"))
    .order_by(signals.c.number)
    .limit(1)
)


class SignalQueries:
    """Reads through the writer. So a step, which depends on the answer, sees all that this server wrote before."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def oldest(self, run_id: str, name: str) -> Received | NoSignal:
        """Return the oldest unconsumed signal of that name, which the run's next step consumes, or NoSignal."""

        def read(transaction: Transaction) -> Received | NoSignal:
            row = transaction.one(_OLDEST, run_id=run_id, name=name)
            return NoSignal() if row is None else Received(row[0], row[1], microseconds(row[2]))

        return await self._writer.write(read, touches=(run_id, signals.name))
