"""The fence: what holds of a run's row while a lease on it does, and what is asked of it by that alone."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, update

from service.core.transitions import Status
from service.store.records import Lease
from service.store.sql import Statement
from service.store.tables import runs
from service.store.transaction import Transaction

HELD = (
    runs.c.id == bindparam("run_id"),
    runs.c.lease_token == bindparam("token"),
    runs.c.status == Status.RUNNING.value,
)

RENEW = Statement(update(runs).where(*HELD).values(due_at=bindparam("until")).returning(runs.c.id))


def is_held(transaction: Transaction, statement: Statement, lease: Lease, **values: Any) -> bool:
    """Whether `statement`, which asks for HELD and returns something, has found the run so."""
    return transaction.one(statement, run_id=lease.run_id, token=lease.token, **values) is not None
