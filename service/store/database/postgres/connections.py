"""The Database of a PostgreSQL server, which any number of our servers may share: how to connect, and what errors mean.

`session` prepares each session.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from service.core.errors import StartRefused
from service.store.database.clock import microseconds
from service.store.database.notifier import OnNotified
from service.store.database.postgres.listen import ListenNotify
from service.store.database.postgres.session import Sessions
from service.store.database.protocol import LOCK_MS

logger = logging.getLogger(__name__)

PREPARE_THRESHOLD = 5
"""The number of executions after which the driver prepares a statement. This is the driver's default."""
TOGETHER_MAX = 4
"""The most inserts in one statement. A step has no more, and so there are few different texts to prepare."""
START_WITHIN_S = 10.0
"""How long a start waits for a PostgreSQL that is starting as well."""
RETRY_S = 0.2
MIGRATION_LOCK = 0x52756E67726170
"""The key of the advisory lock that a migration holds: "Rungrap" in ASCII."""

_CONNECTION = {
    "application_name": "rungraph",
    # Of several hosts, connect to the primary. A failover makes another host the primary. `read-write` would also
    # refuse a server with default_transaction_read_only, which our transactions override.
    "target_session_attrs": "primary",
    "connect_timeout": 5,
    # Notice within about 10 s that the server is gone.
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

# A refused connection has no SQLSTATE, only a text. A text in another language does not match, so the start waits and
# tries again in vain.
_REFUSED = re.compile(
    "authentication failed|no password supplied|does not exist|no such (database|user)|permission denied"
    "|not permitted to log in|not currently accepting|no pg_hba.conf entry|pg_hba.conf rejects|support SSL|SSL required"
    "|certificate|channel binding|authentication method|parameter",
    re.IGNORECASE,
)
_NO_DATABASE = re.compile('database ".*" does not exist|no such database', re.DOTALL)
_ABSENT = re.compile("refused|timeout|timed out|starting up|not yet accepting|failed to resolve", re.IGNORECASE)

MISSING_COLUMNS = """\
WITH wanted (name, field) AS (VALUES {wanted})
SELECT wanted.name, CASE WHEN to_regclass(wanted.name) IS NULL THEN NULL ELSE wanted.field END FROM wanted
WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_attribute AS there
    WHERE there.attrelid = to_regclass(wanted.name) AND there.attname = wanted.field AND NOT there.attisdropped)
ORDER BY 1, 2"""

_NOT_THERE = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName)


class OutcomeUnknown(psycopg.OperationalError):
    """A COMMIT succeeded with a warning: it has not waited for the standby."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """The Database behind a libpq connection string."""

    conninfo: str = field(repr=False)
    has_pooler: bool
    """Whether a pooler in transaction mode is in between. Then nothing of a session lasts beyond a transaction."""
    sessions: Sessions
    dialect: str = "postgresql"
    is_shared: bool = True
    missing_columns: str = MISSING_COLUMNS
    errors: tuple[type[Exception], ...] = (psycopg.Error,)
    bugs: tuple[type[Exception], ...] = (psycopg.IntegrityError, psycopg.ProgrammingError, psycopg.DataError)

    @classmethod
    def at(cls, url: str, *, allow_undurable: bool = False) -> Postgres:
        url, has_pooler = _take_pooler(url)
        try:
            given: dict[str, Any] = {**_CONNECTION, **conninfo_to_dict(url)}
            sessions = Sessions(has_pooler=has_pooler, allow_undurable=allow_undurable)
            return cls(make_conninfo(**given), has_pooler, sessions)
        except psycopg.ProgrammingError:
            # The cause's text may quote the password.
            raise StartRefused("this is no URL that libpq understands") from None

    @property
    def name(self) -> str:
        given = conninfo_to_dict(self.conninfo)
        place = ":".join(str(given[part]) for part in ("host", "port") if given.get(part))
        return f"postgresql://{place}/{given.get('dbname', '')}"

    @property
    def data_folder(self) -> Path:
        return Path("rungraph-data")

    @property
    def files(self) -> tuple[str, ...]:
        return ()

    @property
    def _session(self) -> dict[str, Any]:
        # A prepared statement belongs to its session, which a pooler changes.
        return {"autocommit": True, "prepare_threshold": None if self.has_pooler else PREPARE_THRESHOLD}

    def denial(self, error: BaseException) -> str | None:
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            return f"{self.name} forbids this server what it has to do: {error.diag.message_primary}"
        if isinstance(error, psycopg.OperationalError) and _NO_DATABASE.search(str(error)):
            return f"{self.name} does not exist"
        return None

    def may_lack(self, error: BaseException) -> bool:
        return isinstance(error, _NOT_THERE)

    def is_locked(self, error: Exception) -> bool:
        return isinstance(error, psycopg.errors.LockNotAvailable)

    def is_victim(self, error: BaseException) -> bool:
        # Commands that are committed together lock their rows in no common order, so the transactions of two servers
        # can deadlock.
        return isinstance(error, psycopg.errors.DeadlockDetected | OutcomeUnknown)

    def connect_writer(self) -> psycopg.Connection[Any]:
        return self._opened(psycopg.connect(self.conninfo, **self._session))

    def _opened(self, connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
        try:
            self.sessions.open(connection)
        except psycopg.Error:
            connection.close()
            raise
        return connection

    def begin(self, connection: psycopg.Connection[Any], lock_ms: int = LOCK_MS) -> int:
        cursor = connection.execute(self.sessions.begin(lock_ms))
        while cursor.nextset():
            pass
        return microseconds(cursor.fetchall()[0][0])

    def commit(
        self, connection: psycopg.Connection[Any], cursor: Any, inserts: Sequence[tuple[str, Sequence[Any]]]
    ) -> bool:
        # Never use a pipeline: PostgreSQL would not end the transaction of a server that hangs in the middle of it.
        for begin in range(0, len(inserts), TOGETHER_MAX):
            cursor.execute(*_together(inserts[begin : begin + TOGETHER_MAX]))
        warnings: list[str] = []

        def note(diagnostic: psycopg.errors.Diagnostic) -> None:
            warnings.append(diagnostic.message_primary or "")

        connection.add_notice_handler(note)
        try:
            connection.execute("COMMIT")
        finally:
            connection.remove_notice_handler(note)
        if warnings:
            raise OutcomeUnknown(warnings[0])
        return False

    def disconnect(self, connection: psycopg.Connection[Any], *, for_good: bool) -> None:  # noqa: ARG002  # not needed
        connection.close()

    def keep(self, connection: psycopg.Connection[Any] | None) -> None:  # noqa: ARG002  # PostgreSQL maintains itself
        return

    def lost(self) -> None:
        """Return None: when the PostgreSQL server is back, the writer connects again."""

    def end_if_fatal(self, error: BaseException) -> None:
        """Do nothing: PostgreSQL ends itself after a failed sync."""

    async def connect_reader(self) -> psycopg.AsyncConnection[Any]:
        return await self._opened_reader(await psycopg.AsyncConnection.connect(self.conninfo, **self._session))

    async def _opened_reader(self, connection: psycopg.AsyncConnection[Any]) -> psycopg.AsyncConnection[Any]:
        try:
            await self.sessions.open_reading(connection)
        except BaseException:
            await connection.close()
            raise
        return connection

    def reader_engine(self, readers_max: int) -> AsyncEngine:
        engine = create_async_engine(
            "postgresql+psycopg://",
            async_creator=self.connect_reader,
            isolation_level="AUTOCOMMIT",
            pool_size=readers_max,
            max_overflow=0,
            pool_timeout=10,
            use_native_hstore=False,
        )

        @event.listens_for(engine.sync_engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(self.sessions.begin_reading, execution_options={"no_parameters": True})

        return engine

    def notifier(self, on_notified: OnNotified) -> ListenNotify:
        return ListenNotify(self.connect_writer, on_notified, listens=not self.has_pooler)

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        engine = create_engine("postgresql+psycopg://", creator=self._connect_patiently, poolclass=NullPool)
        with engine.begin() as connection:
            # A lock of the transaction, because behind a pooler the session may serve somebody else next.
            connection.exec_driver_sql(self.sessions.begin_migrating, execution_options={"no_parameters": True})
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            connection.exec_driver_sql("SET LOCAL lock_timeout = '10s'")
            yield connection

    def _connect_patiently(self) -> psycopg.Connection[Any]:
        """Connect, and wait for a PostgreSQL that is starting as well. Raise at once if waiting cannot help."""
        end = time.monotonic() + START_WITHIN_S
        has_told = False
        while True:
            try:
                connection = psycopg.connect(self.conninfo, autocommit=True, prepare_threshold=None)
                break
            except psycopg.OperationalError as error:
                if self._is_hopeless(error) or time.monotonic() > end:
                    raise
                if not has_told:
                    has_told = True
                    reason = str(error).partition("\n")[0]
                    logger.warning("waiting up to %g s for %s: %s", START_WITHIN_S, self.name, reason)
                time.sleep(RETRY_S)
        self._opened(connection).autocommit = False
        return connection

    def _is_hopeless(self, error: psycopg.OperationalError) -> bool:
        """Whether the server will refuse us again. If the URL names several hosts, an absent one may still come up."""
        text = str(error)
        may_come = "," in str(conninfo_to_dict(self.conninfo).get("host", "")) and _ABSENT.search(text)
        return _REFUSED.search(text) is not None and not may_come

    def own(self, address: str) -> Shared:  # noqa: ARG002  # no other server needs the address
        return Shared()

    def owner(self) -> None:
        return None


def _together(inserts: Sequence[tuple[str, Sequence[Any]]]) -> tuple[str, list[Any]]:
    """Return one statement that executes all of `inserts` in one round trip."""
    *others, last = [text for text, _ in inserts]
    before = ", ".join(f"written_{number} AS ({text})" for number, text in enumerate(others))
    return f"WITH {before} {last}" if others else last, [value for _, values in inserts for value in values]


class Shared:
    """The Ownership of a database that several servers share."""

    def release(self) -> None:
        return


def _take_pooler(url: str) -> tuple[str, bool]:
    """Return `url` without `pooler=transaction`, which libpq does not know, and whether it contained that."""
    base, _, query = url.partition("?")
    parameters = [parameter for parameter in query.split("&") if parameter]
    kept = [parameter for parameter in parameters if parameter != "pooler=transaction"]
    return base + ("?" + "&".join(kept) if kept else ""), kept != parameters
