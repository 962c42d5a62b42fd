"""The fence: what holds of a run's row while a lease on it does, and what is asked of it by that alone."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, update

from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.rows.records import Lease
from service.store.schema.models import runs

IS_RUNNING = runs.c.lease_owner.is_not(None)
"""By a CHECK. Asked for its status, PostgreSQL may read all runs that are running, by the index, to find one."""

HELD = (
    runs.c.id == bindparam("run_id"),
    runs.c.lease_token == bindparam("token"),
    IS_RUNNING,
)

RENEW = Statement(update(runs).where(*HELD).values(due_at=bindparam("until")).returning(runs.c.id))


def is_held(transaction: Transaction, statement: Statement, lease: Lease, **values: Any) -> bool:
    """Whether `statement`, which asks for HELD and returns something, has found the run so."""
    return transaction.one(statement, run_id=lease.run_id, token=lease.token, **values) is not None
