"""Give the next attempt of a run a slot of its limit, or park the run until a slot is free.

A commit does the same for the attempt that follows it. This command is for an attempt that follows a claim.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from service.core.errors import LeaseLost
from service.core.run import Run
from service.store.commands.commit import enter_all
from service.store.commands.queueing.admission import Asking
from service.store.commands.queueing.waking import Watch
from service.store.database.statements import ForRows
from service.store.database.transaction import Transaction
from service.store.database.writing.writer import Writer
from service.store.rows.family import lock_runs
from service.store.rows.fence import IS_RUNNING
from service.store.schema.models import runs

_HELD = ForRows(
    lambda row: select(runs.c.id).where(
        runs.c.id == row.run_id, runs.c.lease_token == row.token, runs.c.step == row.step, IS_RUNNING
    ),
    run_id=runs.c.id,
    token=runs.c.lease_token,
    step=runs.c.step,
)


class AcquireCommands:
    def __init__(self, writer: Writer, watch: Watch) -> None:
        self._writer = writer
        self._watch = watch

    async def acquire(self, asking: Asking, *, is_alone: bool = False) -> Run:
        """Give the run's next attempt a slot, or park the run if none is free. Return the run as it is then.

        Raise LeaseLost if the lease no longer holds. `is_alone` is as in `Steps.commit`.
        """
        touches = (asking.lease.run_id, f"limit {asking.limit}")
        run = await self._writer.write_with_others(_acquire_all, asking, touches=touches, at_once=is_alone)
        if run is None:
            raise LeaseLost(asking.lease.run_id, asking.lease.token)
        self._watch.note(run)
        return run


def _acquire_all(transaction: Transaction, asked: Sequence[Asking]) -> list[Run | None]:
    lock_runs(transaction, [asking.run.id for asking in asked])
    rows = [{"run_id": each.run.id, "token": each.lease.token, "step": each.run.step} for each in asked]
    held = {run_id for (run_id,) in transaction.each(_HELD, rows)}
    entered = enter_all(transaction, [asking for asking in asked if asking.run.id in held])
    return [entered.get(asking.run.id) for asking in asked]
