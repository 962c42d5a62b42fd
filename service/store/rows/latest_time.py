"""Read the latest stored times. A server that starts after the clock was set back goes on from the latest one."""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import func, select, union_all

from service.core.transitions import Status
from service.store.database.statements import Statement, constant
from service.store.database.transaction import Transaction
from service.store.schema.models import runs, servers, waits

# Each of these times has an index or is in few rows: servers delete their rows when they leave, and few runs wait. If a
# server died, its runs are still running, and their last claim or step may be later than any of the other times.
_OF_RUNS = union_all(
    select(func.max(runs.c.created_at).label("at")),
    select(func.max(runs.c.moved_at).label("at")).where(runs.c.status == constant(Status.RUNNING)),
).subquery()
_LATEST = {
    servers.name: Statement(select(func.max(servers.c.seen_at))),
    runs.name: Statement(select(func.max(_OF_RUNS.c.at))),
    waits.name: Statement(select(func.max(waits.c.since))),
}


class LatestTimes:
    """The StoredTimes of the store's tables. Each table is read once, as soon as nobody else has locked it."""

    def __init__(self) -> None:
        self._unread = dict(_LATEST)

    @property
    def is_read(self) -> bool:
        return not self._unread

    def read(self, transaction: Transaction) -> None:
        """Make the time of this and of later transactions no earlier than the stored times that can be read now."""
        for table, statement in list(self._unread.items()):
            row = transaction.unless_locked(partial(_read, transaction, table, statement))
            if row is not None:
                transaction.reach(row[0])
                self._unread.pop(table, None)


def _read(transaction: Transaction, table: str, statement: Statement) -> Any:
    transaction.lock_table(table, "ACCESS SHARE")
    return transaction.one(statement)
