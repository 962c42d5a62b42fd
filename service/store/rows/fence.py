"""The fence: the conditions under which a lease on a run holds."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, update

from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.rows.records import Lease
from service.store.schema.models import runs

IS_RUNNING = runs.c.lease_owner.is_not(None)
"""Equivalent to status = 'running' by a CHECK. A filter on status could make PostgreSQL scan every running run."""

HELD = (
    runs.c.id == bindparam("run_id"),
    runs.c.lease_token == bindparam("token"),
    IS_RUNNING,
)

RENEW = Statement(update(runs).where(*HELD).values(due_at=bindparam("until")).returning(runs.c.id))


def is_held(transaction: Transaction, statement: Statement, lease: Lease, **values: Any) -> bool:
    """Execute `statement`, which has the conditions HELD, and return whether the lease holds."""
    return transaction.one(statement, run_id=lease.run_id, token=lease.token, **values) is not None
