"""The reader: a pool of connections that cannot write. Each call sees one consistent snapshot."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import QueuePool

from service.core.errors import Unavailable
from service.store.database.protocol import READERS_MAX, Database
from service.store.database.required_tables import RequiredTables

logger = logging.getLogger(__name__)

CLOSE_S = 5.0
"""How long `close` waits for the reads in progress, and how long for each abandoned connection."""


class Reader:
    """A pool of connections that only read. It belongs to the event loop that reads first."""

    def __init__(self, database: Database, required: RequiredTables) -> None:
        self._database = database
        self._required = required
        self._engine = database.reader_engine(READERS_MAX)
        self._reads = 0
        self._has_ended = asyncio.Event()
        """Set whenever a read ends."""
        self._abandoned: set[AsyncConnection] = set()
        """Connections whose task has ended before they were returned to the pool."""

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """Open a read transaction. If the database cannot be read, raise Unavailable, even from within the block."""
        if lost := self._database.lost():
            raise Unavailable(f"the database cannot be read: {lost}")
        try:
            async with self._connected() as connection:
                yield Snapshot(connection)
        except (DBAPIError, PoolTimeout) as error:
            cause = getattr(error, "orig", None) or error
            logger.warning("a read failed: %s", " ".join(str(cause).split()))
            reason = self._database.denial(cause) or await self._lack(cause)
            if reason is None and not self._database.is_shared:
                # The text of a database server's error names hosts, users and tables: clients must not see it.
                reason = " ".join(str(cause).split())
            raise Unavailable("the database cannot be read" + (f": {reason}" if reason else "")) from error

    async def _lack(self, error: BaseException) -> str | None:
        """Return what the database lacks, if a statement failed with `error` because of that."""
        if not self._database.may_lack(error):
            return None
        try:
            async with self._connected() as connection:
                rows = await Snapshot(connection).all(self._required.query)
        except (DBAPIError, PoolTimeout):
            return None
        return self._required.describe(rows)

    @property
    def is_busy(self) -> bool:
        """Whether all connections are reading, so that the next read has to wait."""
        pool = self._engine.pool
        return isinstance(pool, QueuePool) and pool.checkedout() >= READERS_MAX

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        """Take a connection from the pool and begin a transaction."""
        connection, is_open = self._engine.connect(), False
        self._reads += 1
        try:
            async with connection:
                is_open = True
                await _begin(connection)
                yield connection
        finally:
            # SQLAlchemy returns the connection in a separate task. An event loop that ends cancels that task too.
            if is_open and not connection.closed:
                self._abandoned.add(connection)
            self._reads -= 1
            self._has_ended.set()

    async def close(self) -> None:
        """Wait at most CLOSE_S for the reads in progress, and close the connections."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    while self._reads:
                        self._has_ended.clear()
                        await self._has_ended.wait()
            while self._abandoned:
                await _close(self._abandoned.pop())
        finally:
            await self._engine.dispose()


async def _close(connection: AsyncConnection) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await connection.close()
    except (DBAPIError, TimeoutError) as error:
        logger.warning("a connection that reads did not close: %s", error or type(error).__name__)


async def _begin(connection: AsyncConnection) -> None:
    try:
        await connection.begin()
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        await connection.begin()  # The connection broke while nobody used it. This connects again.


class Snapshot:
    """An open read transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.dialect = connection.dialect.name

    async def one(self, statement: Executable, **parameters: Any) -> Any | None:
        return (await self._connection.execute(statement, parameters)).first()

    async def all(self, statement: Executable, **parameters: Any) -> Sequence[Any]:
        return (await self._connection.execute(statement, parameters)).all()

    async def parts(self, statement: Executable, size: int, **parameters: Any) -> AsyncIterator[Sequence[Any]]:
        """Yield the rows in parts of `size`, and let other tasks of the loop run in between."""
        result = await self._connection.execute(statement, parameters)
        for part in result.partitions(size):
            yield part
            if len(part) == size:
                await asyncio.sleep(0)
