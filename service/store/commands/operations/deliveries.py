"""Claim deliveries of webhooks that are due, and note what became of them.

A claim puts a delivery off for CLAIM_S, after which another server may send it, and counts the attempt. The number of
attempts fences what is noted afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import bindparam, func, null, select, text, update

from service.core import codec
from service.core.operations.webhooks import RETRIED_S, DeliveryState, backoff_s, message_id
from service.store.database import local_events
from service.store.database.clock import microseconds, text_of
from service.store.database.statements import ForRows, Statement, constant
from service.store.database.transaction import Transaction
from service.store.database.writing.writer import Writer
from service.store.rows.family import lock_runs
from service.store.rows.operations.deliveries import url_of
from service.store.schema.operations import deliveries

CLAIM_S = 60.0
"""How long a server has for an attempt. It must be longer than a sender waits for an answer."""
NEVER_S = 3600.0
"""Returned as the time until the next delivery if no delivery is due."""
ERROR_CHARS_MAX = 500

_FOUND = (
    "SELECT d.run_id, d.number, d.payload, d.host, d.attempts, d.created_at, r.notify"
    " FROM deliveries d JOIN runs r ON r.id = d.run_id WHERE d.due_at <= :now AND {is_free}"
    " AND d.run_id NOT IN (SELECT run_id FROM deletions) ORDER BY d.due_at LIMIT :count"
)
_DUE = {
    "sqlite": Statement(text(_FOUND.format(is_free="d.host NOT IN (SELECT value FROM json_each(:busy))"))),
    "postgresql": Statement(
        text(_FOUND.format(is_free="d.host <> ALL(CAST(:busy AS text[]))") + " FOR UPDATE OF d SKIP LOCKED")
    ),
}
_NEXT = Statement(select(func.min(deliveries.c.due_at)).where(deliveries.c.due_at > bindparam("now")))
_CLAIM = ForRows(
    lambda row: (
        update(deliveries)
        .where(deliveries.c.run_id == row.run_id, deliveries.c.number == row.number)
        .values(due_at=row.until, attempts=deliveries.c.attempts + constant(1))
        .returning(deliveries.c.run_id)
    ),
    run_id=deliveries.c.run_id,
    number=deliveries.c.number,
    until=deliveries.c.due_at,
)
_CLAIMED = (
    deliveries.c.run_id == bindparam("of"),
    deliveries.c.number == bindparam("which"),
    deliveries.c.attempts == bindparam("attempt"),
    deliveries.c.state == constant(DeliveryState.PENDING),
)
_RELEASE = Statement(update(deliveries).where(*_CLAIMED).values(due_at=bindparam("due")).returning(deliveries.c.number))
_NOTE = Statement(
    update(deliveries)
    .where(*_CLAIMED)
    .values(
        state=bindparam("now_is"),
        due_at=bindparam("due"),
        finished_at=bindparam("finished"),
        last_status=bindparam("status"),
        last_error=bindparam("error"),
    )
    .returning(deliveries.c.number)
)
_WAKE_NEXT = Statement(
    text(
        "UPDATE deliveries SET due_at = :now WHERE run_id = :run_id AND due_at IS NULL AND number ="
        " (SELECT min(number) FROM deliveries WHERE run_id = :run_id AND state = 'pending')"
    )
)
_DROP_ALL = Statement(
    update(deliveries)
    .where(deliveries.c.state == constant(DeliveryState.PENDING))
    .values(
        state=constant(DeliveryState.FAILED), due_at=null(), finished_at=bindparam("now"), last_error=bindparam("why")
    )
)


class Delivery(NamedTuple):
    """A delivery that this server is to send now."""

    run_id: str
    number: int
    payload: str
    host: str
    attempt: int
    created_us: int
    url: str

    @property
    def message_id(self) -> str:
        return message_id(self.run_id, self.number)


class Answer(NamedTuple):
    """What became of an attempt to send."""

    status: int | None
    """The status of the receiver's answer. None: there was none."""
    error: str | None
    """Why the delivery failed; None if the receiver accepted it."""


class DeliveryCommands:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def claim(self, count: int, sending: Mapping[str, int], host_max: int) -> tuple[list[Delivery], float]:
        """Claim up to `count` deliveries that are due. Return them, and the number of seconds until the next claim.

        That number is 0 if more may be due. `sending` has, by host, the number of deliveries that this server is
        sending now. No host gets more than `host_max` at once.
        """

        def claim(transaction: Transaction) -> tuple[list[Delivery], float]:
            moment = transaction.moment
            hosts = [host for host, number in sending.items() if number >= host_max]
            busy = codec.encode(hosts) if transaction.dialect == "sqlite" else hosts
            rows = transaction.all(_DUE[transaction.dialect], now=moment.text(), count=count, busy=busy)
            taken, counts = [], Counter(sending)
            for run_id, number, payload, host, attempts, created_at, notify in rows:
                if counts[host] < host_max:
                    counts[host] += 1
                    created_us = microseconds(created_at)
                    taken.append(Delivery(run_id, number, payload, host, attempts + 1, created_us, url_of(notify)))
            until = moment.text(later_s=CLAIM_S)
            transaction.each(_CLAIM, [{"run_id": each.run_id, "number": each.number, "until": until} for each in taken])
            return taken, 0.0 if len(rows) == count else _next_s(transaction)

        return await self._writer.write(claim, touches=("sending", deliveries.name))

    async def note(self, delivery: Delivery, answer: Answer) -> None:
        """Note what became of an attempt, and make the run's next delivery due if this one is finished.

        Nothing is noted if another server has claimed the delivery since.
        """

        def note(transaction: Transaction) -> None:
            lock_runs(transaction, [delivery.run_id])
            moment = transaction.moment
            due_us = moment.now_us + round(backoff_s(delivery.attempt) * 1e6)
            state, due = DeliveryState.PENDING, text_of(due_us)
            if answer.error is None:
                state = DeliveryState.DELIVERED
            elif due_us > delivery.created_us + RETRIED_S * 1_000_000:
                state = DeliveryState.FAILED
            is_over = state is not DeliveryState.PENDING
            noted = transaction.one(
                _NOTE,
                of=delivery.run_id,
                which=delivery.number,
                attempt=delivery.attempt,
                now_is=state.value,
                due=None if is_over else due,
                finished=moment.text() if is_over else None,
                status=answer.status,
                error=None if answer.error is None else answer.error[:ERROR_CHARS_MAX],
            )
            if noted is not None and is_over:
                transaction.execute(_WAKE_NEXT, run_id=delivery.run_id, now=moment.text())
                transaction.topics.add(local_events.DELIVERABLE)

        await self._writer.write(note, touches=(f"delivery {delivery.run_id}", deliveries.name))

    def release(self, delivery: Delivery) -> None:
        """Make a delivery due at once, because its attempt was cut off. Return without waiting for the commit."""

        def release(transaction: Transaction) -> None:
            place = {"of": delivery.run_id, "which": delivery.number, "attempt": delivery.attempt}
            transaction.one(_RELEASE, **place, due=transaction.moment.text())
            transaction.topics.add(local_events.DELIVERABLE)

        self._writer.submit(release, touches=("sending", deliveries.name))

    async def drop_all(self, why: str) -> None:
        """Note all pending deliveries as failed because of `why`, so that none of them is sent."""
        await self._writer.write(
            lambda transaction: transaction.execute(_DROP_ALL, now=transaction.moment.text(), why=why),
            touches=("sending", deliveries.name),
        )


def _next_s(transaction: Transaction) -> float:
    [due_at] = transaction.one(_NEXT, now=transaction.moment.text())
    return NEVER_S if due_at is None else max(0.0, (microseconds(due_at) - transaction.moment.now_us) / 1e6)
