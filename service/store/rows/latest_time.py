"""The latest time that is stored: a server that starts on a clock that was set back goes on from there."""

from __future__ import annotations

from sqlalchemy import func, select

from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.schema.models import runs, servers, waits

# Servers write it every few seconds; it goes when they leave. No other time has an index, and few runs wait.
_LATEST = [Statement(select(func.max(column))) for column in (servers.c.seen_at, runs.c.created_at, waits.c.since)]


def go_on_from_what_is_stored(transaction: Transaction) -> None:
    """Let the transaction's time, and all later ones, be no earlier than what is stored."""
    for statement in _LATEST:
        transaction.reach(transaction.one(statement)[0])
