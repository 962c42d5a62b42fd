"""Read the latest stored times. A server that starts after the clock was set back goes on from there."""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import func, select

from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.schema.models import runs, servers, waits

# Servers write `seen_at` every few seconds, but remove it when they leave. No other time has an index; few runs wait.
_LATEST = {
    column.table.name: Statement(select(func.max(column)))
    for column in (servers.c.seen_at, runs.c.created_at, waits.c.since)
}


class LatestTimes:
    """The StoredTimes of our tables. Each table is read once, as soon as nobody has locked it."""

    def __init__(self) -> None:
        self._unread = dict(_LATEST)

    @property
    def is_read(self) -> bool:
        return not self._unread

    def read(self, transaction: Transaction) -> None:
        """Let the transaction's time, and all later ones, be no earlier than what can be read now."""
        for table, statement in list(self._unread.items()):
            row = transaction.unless_locked(partial(_read, transaction, table, statement))
            if row is not None:
                transaction.reach(row[0])
                self._unread.pop(table, None)


def _read(transaction: Transaction, table: str, statement: Statement) -> Any:
    transaction.lock_table(table, "ACCESS SHARE")
    return transaction.one(statement)
