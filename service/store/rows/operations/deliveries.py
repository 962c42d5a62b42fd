"""The outbox of webhooks: deliveries that report a run's changes of status to its `notify` URL.

A change of status and its delivery are written in one transaction. Only runs with a `notify` have deliveries.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import exists, func, select, update

from service.core import codec
from service.core.operations.webhooks import DeliveryState, Target, target_of
from service.store.database import local_events
from service.store.database.statements import ForRows, constant
from service.store.database.transaction import Row, Transaction
from service.store.schema.models import runs
from service.store.schema.operations import deliveries

_TELLING = ForRows(
    lambda row: select(
        *(runs.c.id, runs.c.graph_id, runs.c.status, runs.c.step, runs.c.current_node, runs.c.error),
        *(runs.c.last_seq, runs.c.notify),
        select(func.coalesce(func.max(deliveries.c.number), constant(0)))
        .where(deliveries.c.run_id == runs.c.id)
        .correlate(runs)
        .scalar_subquery(),
        exists(
            select(deliveries.c.number).where(
                deliveries.c.run_id == runs.c.id, deliveries.c.state == constant(DeliveryState.PENDING)
            )
        ).correlate(runs),
    ).where(runs.c.id == row.run_id),
    run_id=runs.c.id,
)
_NOTIFY = ForRows(
    lambda row: update(runs).where(runs.c.id == row.run_id).values(notify=row.notify).returning(runs.c.id),
    run_id=runs.c.id,
    notify=runs.c.notify,
)


class _Telling(NamedTuple):
    """A row of _TELLING. The fields are in the order of its columns."""

    run_id: str
    graph_id: str
    status: str
    step: int
    current_node: str | None
    error: str | None
    last_seq: int
    notify: str
    number: int
    has_pending: int


def notify_of(url: str, events: Collection[str]) -> str:
    """Return the text that a run's `notify` is stored as."""
    return codec.encode({"url": url, "on": list(events)})


def url_of(notify: str) -> str:
    """Return the URL in a stored `notify`."""
    return str(codec.loads(notify)["url"])


def set_notify(transaction: Transaction, asked: Collection[tuple[str, str]]) -> None:
    """Store the `notify` of new runs, given as pairs of a run's id and its text."""
    transaction.each(_NOTIFY, [{"run_id": run_id, "notify": notify} for run_id, notify in asked])


def announce(transaction: Transaction, run_ids: Collection[str]) -> None:
    """Insert a delivery for each of `run_ids` whose `notify` asks for the run's new status.

    Each of these runs must have a `notify`. The caller has updated the rows of the runs, and has thereby locked them.
    The command that ends an earlier delivery locks the same row. So it either comes before this insert, or comes
    afterwards and sees the new delivery.
    """
    if not run_ids:
        return
    rows = [_Telling(*row) for row in transaction.each(_TELLING, [{"run_id": run_id} for run_id in run_ids])]
    told = [_delivery(transaction, row) for row in rows if row.status in codec.loads(row.notify)["on"]]
    transaction.insert(deliveries, told)
    if told:
        transaction.topics.add(local_events.DELIVERABLE)


def _delivery(transaction: Transaction, telling: _Telling) -> Row:
    now = transaction.moment.text()
    target = target_of(url_of(telling.notify))
    return {
        "run_id": telling.run_id,
        "number": telling.number + 1,
        "event": telling.status,
        "payload": codec.encode(_payload(telling, now)),
        "host": target.host if isinstance(target, Target) else "",
        "state": DeliveryState.PENDING.value,
        "attempts": 0,
        "due_at": None if telling.has_pending else now,
        "last_status": None,
        "last_error": None,
        "created_at": now,
        "finished_at": None,
    }


def _payload(telling: _Telling, now: str) -> dict[str, Any]:
    data = {
        "run_id": telling.run_id,
        "graph_id": telling.graph_id,
        "status": telling.status,
        "step": telling.step,
        "current_node": telling.current_node,
        "error": None if telling.error is None else codec.loads(telling.error),
        "last_seq": telling.last_seq,
    }
    return {"type": f"run.{telling.status}", "timestamp": now, "data": data}
