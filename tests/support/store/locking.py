"""Locks that another session holds on PostgreSQL: on rows, or on a whole table."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from service.store.database.postgres.connections import Postgres
from service.store.database.protocol import Database
from tests.support.store.carrying import single

OTHER = single("add", edges={"a": "a"}, name="other")
"""The graph of a run that nobody has locked."""


@asynccontextmanager
async def locking(database: Database, *texts: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Somebody has done `texts` in a transaction that stays open within, and is rolled back then."""
    assert isinstance(database, Postgres)
    async with await psycopg.AsyncConnection.connect(database.conninfo) as connection:
        for text in texts:
            await connection.execute(text.encode())
        yield connection
        await connection.rollback()


def row(run_id: str) -> str:
    return f"UPDATE runs SET tags = tags WHERE id = '{run_id}'"


def whole(table: str, mode: str = "ACCESS EXCLUSIVE") -> str:
    return f"LOCK TABLE {table} IN {mode} MODE"
