"""Prepares sessions of PostgreSQL: sets what our SQL relies on, and checks what the server is like.

A setting may come from the server, the database, the role, the URL or the environment, and may change while our server
runs. Each session therefore sets whatever our SQL relies on. Behind a pooler in transaction mode a session may change
between transactions, so there the message that opens a transaction makes the settings.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg

VERSION_MIN = 15

_SETTINGS = {
    # The format of values.
    "datestyle": "ISO",
    "timezone": "UTC",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "extra_float_digits": "1",
    # Limits of statements, transactions and sessions. Each transaction sets narrower ones for itself.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "exit_on_error": "off",
    # PostgreSQL only warns if a COMMIT did not wait for its standby, so warnings must arrive.
    "client_min_messages": "warning",
}
_SETTINGS_SINCE = {17: {"transaction_timeout": "0", "restrict_nonsystem_relation_kind": "''"}}
"""Further settings, by the first version that has them."""
_SETTINGS_OF_MIGRATIONS = {"default_table_access_method": "heap"}

# If one of our servers stops in the middle of a transaction, PostgreSQL keeps the rows locked until the limit below. No
# transaction of ours is open while a tool runs.
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_LIMITS = {"idle_in_transaction_session_timeout": "'2s'"}
_BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Only ALTER TABLE and the like lock out a reader. The reader gives up soon, because it occupies one of few connections.
_LIMITS_OF_READING = {
    "lock_timeout": "'500ms'",
    "statement_timeout": "'30s'",
    "idle_in_transaction_session_timeout": "'10s'",
}
_BEGIN_MIGRATING = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE"
_LIMITS_OF_MIGRATING = {"lock_timeout": "'60s'", "idle_in_transaction_session_timeout": "0"}

# The tables are in the schema that contains Alembic's version table or, before the first migration, in the schema where
# it would be created.
_FACTS = """\
SELECT current_setting('server_encoding'), current_setting('fsync'),
    current_setting('synchronous_commit'), current_setting('session_replication_role'),
    current_setting('zero_damaged_pages'), current_setting('ignore_checksum_failure'),
    coalesce((SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = to_regclass('alembic_version')), current_schema())"""


class Facts(NamedTuple):
    """A row of _FACTS. The fields are in the order of its columns."""

    encoding: str
    fsync: str
    synchronous_commit: str
    replication_role: str
    zero_damaged_pages: str
    ignore_checksum_failure: str
    schema: str | None


class Sessions:
    """Prepares the sessions of one server. The first one finds the schema, and all later ones use it."""

    def __init__(self, *, has_pooler: bool, allow_undurable: bool) -> None:
        self._has_pooler = has_pooler
        self._allow_undurable = allow_undurable
        self._found: dict[str, str] = {}
        """Further settings, which follow from the facts that the first session found."""
        self._begin = ""
        self._begins: dict[int, bytes] = {}
        """The messages that open transactions that write, by the milliseconds that these wait for a lock."""
        self.begin_reading = ""
        self.begin_migrating = ""

    def open(self, connection: psycopg.Connection[Any]) -> None:
        """Prepare a new session that writes, in autocommit mode. Raise NotSupportedError if it cannot be used."""
        asking = self._asking(connection)
        cursor = connection.execute(asking)
        while cursor.nextset():
            pass
        facts = Facts(*cursor.fetchall()[0])
        # Check every session, because after a failover another server answers.
        self._check(facts)
        self._learn(facts, _settings_for(connection))
        if not self._has_pooler:
            connection.execute(_set("SET", self._found).encode())

    async def open_reading(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Prepare a new session that only reads, in autocommit mode."""
        cursor = await connection.execute(self._asking(connection))
        while cursor.nextset():
            pass
        self._learn(Facts(*(await cursor.fetchall())[0]), _settings_for(connection))
        if not self._has_pooler:
            await connection.execute(_set("SET", self._found).encode())

    def begin(self, lock_ms: int) -> bytes:
        """Return the message that opens a transaction that writes and waits at most `lock_ms` for a lock.

        The last of its results is the database's time.
        """
        if lock_ms not in self._begins:
            text = f"{self._begin}; SET LOCAL lock_timeout = {lock_ms}; SELECT clock_timestamp()"
            self._begins[lock_ms] = text.encode()
        return self._begins[lock_ms]

    def _asking(self, connection: psycopg.BaseConnection[Any]) -> bytes:
        """Return the message that makes the settings and asks for the facts. It is one transaction."""
        settings = _set("SET LOCAL" if self._has_pooler else "SET", _settings_for(connection))
        return f"{settings}; {_FACTS}".encode()

    def _check(self, facts: Facts) -> None:
        if facts.encoding != "UTF8":
            raise psycopg.NotSupportedError(f"the database has the encoding {facts.encoding}: UTF8 is needed")
        if facts.replication_role == "replica":
            raise psycopg.NotSupportedError(
                "session_replication_role is replica, which turns foreign keys off: set it to origin for this role"
            )
        if facts.schema is None:
            raise psycopg.NotSupportedError("search_path names no schema that is there: set it for this role")
        if self._allow_undurable:
            return
        switches = {"fsync": facts.fsync, "synchronous_commit": facts.synchronous_commit}
        if off := [name for name, value in switches.items() if value == "off"]:
            raise psycopg.NotSupportedError(
                f"{' and '.join(off)} is off, and a crash would lose what was acknowledged:"
                " turn it on, or set RUNGRAPH_ALLOW_UNDURABLE=1"
            )
        switches = {
            "zero_damaged_pages": facts.zero_damaged_pages,
            "ignore_checksum_failure": facts.ignore_checksum_failure,
        }
        if on := [name for name, value in switches.items() if value == "on"]:
            raise psycopg.NotSupportedError(
                f"{' and '.join(on)} is on, and damaged rows would be lost without a word:"
                " turn it off, or set RUNGRAPH_ALLOW_UNDURABLE=1"
            )

    def _learn(self, facts: Facts, settings: dict[str, str]) -> None:
        if self._found:
            return
        found = {"search_path": '"{}"'.format((facts.schema or "").replace('"', '""'))}
        if not self._allow_undurable:
            # With `local` and `remote_write` a COMMIT does not wait until a synchronous standby has it on disk.
            found["synchronous_commit"] = "remote_apply" if facts.synchronous_commit == "remote_apply" else "on"
        of_each = {**settings, **found} if self._has_pooler else {}
        self._begin = f"{_BEGIN}; {_set('SET LOCAL', {**of_each, **_LIMITS})}"
        self.begin_reading = f"{_BEGIN_READING}; {_set('SET LOCAL', {**of_each, **_LIMITS_OF_READING})}"
        of_migrations = {**of_each, **_SETTINGS_OF_MIGRATIONS, **_LIMITS_OF_MIGRATING}
        self.begin_migrating = f"{_BEGIN_MIGRATING}; {_set('SET LOCAL', of_migrations)}"
        self._found = found


def _settings_for(connection: psycopg.BaseConnection[Any]) -> dict[str, str]:
    version = connection.info.server_version // 10000
    if version < VERSION_MIN:  # An older server may lack a setting.
        raise psycopg.NotSupportedError(f"PostgreSQL {version} is too old: {VERSION_MIN} is needed")
    since = [more for first, more in _SETTINGS_SINCE.items() if version >= first]
    return {name: value for some in (*since, _SETTINGS) for name, value in some.items()}


def _set(command: str, settings: dict[str, str]) -> str:
    return "; ".join(f"{command} {name} = {value}" for name, value in settings.items())
