"""What a session of PostgreSQL is told before it is used, and what is asked of it.

A setting may come from the server, the database, the role, the URL or the environment, and may change under a running
server. Whatever our SQL relies on is therefore set by each session for itself, over all of these; behind a pooler in
transaction mode, where a session is nothing to rely on, by each transaction, in the message that opens it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg

VERSION_MIN = 15

_SETTINGS = {
    # How values are written and read.
    "datestyle": "ISO",
    "timezone": "UTC",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "extra_float_digits": "1",
    # What ends a statement, a transaction or a session. A transaction sets closer limits for itself.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "exit_on_error": "off",
    # A COMMIT that did not wait for its standby is told by a warning.
    "client_min_messages": "warning",
}
_SETTINGS_SINCE = {17: {"transaction_timeout": "0"}}
"""By the first version that knows them."""
_SETTINGS_OF_MIGRATIONS = {"default_table_access_method": "heap"}

# Both for each transaction, in the same message that opens it. A server that stops in the middle of one keeps
# its rows locked until PostgreSQL ends it; no transaction of ours is ever open while a tool runs.
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_LIMITS = {"idle_in_transaction_session_timeout": "'2s'"}
_BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Nothing but a table that somebody changes or rewrites is locked for a reader, and readers are few.
_LIMITS_OF_READING = {
    "lock_timeout": "'500ms'",
    "statement_timeout": "'30s'",
    "idle_in_transaction_session_timeout": "'10s'",
}
_BEGIN_MIGRATING = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE"
_LIMITS_OF_MIGRATING = {"lock_timeout": "'60s'", "idle_in_transaction_session_timeout": "0"}

# The tables are in the schema that has our version's table or, before there is one, where it would be made.
_FACTS = """\
SELECT current_setting('server_encoding'), current_setting('fsync'),
    current_setting('synchronous_commit'), current_setting('session_replication_role'),
    current_setting('zero_damaged_pages'), current_setting('ignore_checksum_failure'),
    coalesce((SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = to_regclass('alembic_version')), current_schema())"""


class Facts(NamedTuple):
    """A row of _FACTS, its columns in that order."""

    encoding: str
    fsync: str
    synchronous_commit: str
    replication_role: str
    zero_damaged_pages: str
    ignore_checksum_failure: str
    schema: str | None


class Sessions:
    """How the sessions of one server begin. The first one finds the schema, in which all later ones look."""

    def __init__(self, *, has_pooler: bool, allow_undurable: bool) -> None:
        self._has_pooler = has_pooler
        self._allow_undurable = allow_undurable
        self._found: dict[str, str] = {}
        """What is set besides, by what the first session has said."""
        self._begin = ""
        self._begins: dict[int, bytes] = {}
        """By how long they wait for a lock: a message is made once."""
        self.begin_reading = ""
        self.begin_migrating = ""

    def open(self, connection: psycopg.Connection[Any]) -> None:
        """Prepare a new session, in autocommit mode, that writes. Raises NotSupportedError where it cannot be used."""
        asking = self._asking(connection)
        cursor = connection.execute(asking)
        while cursor.nextset():
            pass
        facts = Facts(*cursor.fetchall()[0])
        # Of each: after a failover another server answers.
        self._check(facts)
        self._learn(facts, _settings_for(connection))
        if not self._has_pooler:
            connection.execute(_set("SET", self._found).encode())

    async def open_reading(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Prepare a new session, in autocommit mode, that only reads."""
        cursor = await connection.execute(self._asking(connection))
        while cursor.nextset():
            pass
        self._learn(Facts(*(await cursor.fetchall())[0]), _settings_for(connection))
        if not self._has_pooler:
            await connection.execute(_set("SET", self._found).encode())

    def begin(self, lock_ms: int) -> bytes:
        """What opens a transaction that writes, and waits at most `lock_ms` for a lock.

        The last of its results is the database's time.
        """
        if lock_ms not in self._begins:
            text = f"{self._begin}; SET LOCAL lock_timeout = {lock_ms}; SELECT clock_timestamp()"
            self._begins[lock_ms] = text.encode()
        return self._begins[lock_ms]

    def _asking(self, connection: psycopg.BaseConnection[Any]) -> bytes:
        """One message, which is a transaction by itself."""
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
            # `local` and `remote_write` do not wait until a standby has it on disk, where one is to have it.
            found["synchronous_commit"] = "remote_apply" if facts.synchronous_commit == "remote_apply" else "on"
        of_each = {**settings, **found} if self._has_pooler else {}
        self._begin = f"{_BEGIN}; {_set('SET LOCAL', {**of_each, **_LIMITS})}"
        self.begin_reading = f"{_BEGIN_READING}; {_set('SET LOCAL', {**of_each, **_LIMITS_OF_READING})}"
        of_migrations = {**of_each, **_SETTINGS_OF_MIGRATIONS, **_LIMITS_OF_MIGRATING}
        self.begin_migrating = f"{_BEGIN_MIGRATING}; {_set('SET LOCAL', of_migrations)}"
        self._found = found


def _settings_for(connection: psycopg.BaseConnection[Any]) -> dict[str, str]:
    version = connection.info.server_version // 10000
    if version < VERSION_MIN:  # Which may not know them all.
        raise psycopg.NotSupportedError(f"PostgreSQL {version} is too old: {VERSION_MIN} is needed")
    since = [more for first, more in _SETTINGS_SINCE.items() if version >= first]
    return {name: value for some in (*since, _SETTINGS) for name, value in some.items()}


def _set(command: str, settings: dict[str, str]) -> str:
    return "; ".join(f"{command} {name} = {value}" for name, value in settings.items())
