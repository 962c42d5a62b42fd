"""Verbs on signals: the mailbox of a run. The step that a signal leads to takes it out, once, in order of commit."""

from __future__ import annotations

from sqlalchemy import bindparam, func, select, update

from service.core.errors import Conflict, NotFound, RungraphError
from service.core.moves import Nothing, Received
from service.core.transitions import Status
from service.store.clock import microseconds
from service.store.idempotency import Idempotency, take_key, use_of
from service.store.sql import Statement
from service.store.tables import runs, signals
from service.store.transaction import Transaction
from service.store.waits import wake_those_ready
from service.store.writer import Writer

MAILBOX_MAX = 1000
"""Signals of a run that no step has taken."""
_CLOSED = (Status.COMPLETED, Status.CANCELLED)

# Locked, so that numbers are given out in the order of the commits, and a run that is just parking is not missed.
_STATUS = Statement(select(runs.c.status).where(runs.c.id == bindparam("run_id")).with_for_update())

_WAITING = Statement(
    select(func.count()).where(signals.c.run_id == bindparam("run_id"), signals.c.step.is_(None)),
)
_LAST_NUMBER = Statement(
    select(func.coalesce(func.max(signals.c.number), 0)).where(signals.c.run_id == bindparam("run_id"))
)
_GET = Statement(
    select(signals.c.name, signals.c.payload, signals.c.accepted_at).where(
        signals.c.run_id == bindparam("run_id"), signals.c.number == bindparam("number")
    )
)
_OLDEST = Statement(
    select(signals.c.number, signals.c.payload, signals.c.accepted_at)
    .where(signals.c.run_id == bindparam("run_id"), signals.c.step.is_(None), signals.c.name == bindparam("name"))
    .order_by(signals.c.number)
    .limit(1)
)
_CONSUME = Statement(
    update(signals)
    .where(signals.c.run_id == bindparam("run_id"), signals.c.number == bindparam("number"))
    .values(step=bindparam("by_step"))
)


class Signals:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def send(
        self,
        run_id: str,
        name: str,
        payload: str,
        idempotency: Idempotency | None = None,
        *,
        within_s: float | None = None,
    ) -> bool:
        """Put a signal, its `payload` being JSON text, into the run's mailbox; whether it is new.

        One transaction; when this returns, the signal is on disk. False: the key was used for the same before.
        NotFound without the run; Conflict where it is over, its mailbox full, or the key used for another signal.
        """
        sent: tuple[int, str] | None = None

        def verb(transaction: Transaction) -> bool | RungraphError:
            nonlocal sent
            run = transaction.one(_STATUS, run_id=run_id)
            if run is None:
                return NotFound("run", run_id)
            if sent is not None and _is_there(transaction, run_id, name, payload, *sent):
                return True  # The COMMIT had only looked like a failure.
            if idempotency is not None and (used := use_of(transaction, idempotency)) is not None:
                return used if isinstance(used, Conflict) else False
            if (refusal := _refusal(transaction, run_id, run[0])) is not None:
                return refusal
            if idempotency is not None:
                take_key(transaction, idempotency, run_id)
            number = transaction.one(_LAST_NUMBER, run_id=run_id)[0] + 1
            sent = (number, transaction.moment.text())
            row = {"run_id": run_id, "number": number, "name": name, "payload": payload}
            transaction.insert(signals, [{**row, "accepted_at": sent[1], "step": None}])
            wake_those_ready(transaction, [run_id])
            return True

        outcome = await self._writer.write(verb, within_s=within_s)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def oldest(self, run_id: str, name: str) -> Received | Nothing:
        """The signal of that name that the run takes next."""

        def verb(transaction: Transaction) -> Received | Nothing:
            row = transaction.one(_OLDEST, run_id=run_id, name=name)
            return Nothing() if row is None else Received(row[0], row[1], microseconds(row[2]))

        return await self._writer.write(verb)


def _refusal(transaction: Transaction, run_id: str, status: str) -> Conflict | None:
    if status in _CLOSED:
        return Conflict(f"the run is {status}: it takes no more signals")
    if transaction.one(_WAITING, run_id=run_id)[0] >= MAILBOX_MAX:
        return Conflict(f"the run's mailbox is full: {MAILBOX_MAX} signals wait")
    return None


def _is_there(transaction: Transaction, run_id: str, name: str, payload: str, number: int, accepted_at: str) -> bool:
    row = transaction.one(_GET, run_id=run_id, number=number)
    return row is not None and (row[0], row[1]) == (name, payload) and microseconds(row[2]) == microseconds(accepted_at)


def consume(transaction: Transaction, run_id: str, number: int, step: int) -> None:
    """Take a signal out of the mailbox: within the commit of `step`, which it leads to."""
    transaction.execute(_CONSUME, run_id=run_id, number=number, by_step=step)
