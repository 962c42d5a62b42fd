"""Settings of PostgreSQL that somebody has changed: the store sets what it relies on, or refuses the start by name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from service.core.errors import StartRefused
from service.store.database.opening import database_at
from service.store.database.postgres.connections import Postgres
from service.store.database.postgres.session import Sessions
from service.store.database.protocol import LOCK_MS, Database
from service.store.schema.migrate import migrate
from tests.support.postgres import Databases, own_server
from tests.support.store.carrying import APPROVAL, LATER, parked
from tests.support.store.filters import filter_of
from tests.support.store.harness import Clock, ask, commit, dump, failure, opened, said, sql, start, start_of, success

CHANGED = {
    "datestyle": "'SQL, DMY'",
    "intervalstyle": "'sql_standard'",
    "timezone": "'Asia/Kathmandu'",
    "array_nulls": "off",
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "escape_string_warning": "off",
    "client_encoding": "'LATIN1'",
    "bytea_output": "'escape'",
    "extra_float_digits": "-15",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "'serializable'",
    "default_transaction_deferrable": "on",
    "transform_null_equals": "on",
    "row_security": "off",
    "synchronous_commit": "'local'",
    "quote_all_identifiers": "on",
    "exit_on_error": "on",
    "client_min_messages": "'error'",
    "default_table_access_method": "'no_such_method'",
    "plan_cache_mode": "'force_generic_plan'",
    "enable_indexscan": "off",
    "check_function_bodies": "off",
    "restrict_nonsystem_relation_kind": "'view'",
}
"""A value for each that would hurt whoever relies on another one."""
SINCE_17 = ("transaction_timeout", "restrict_nonsystem_relation_kind")
LIMITS = ("statement_timeout", "idle_session_timeout", "transaction_timeout")
ALONE = (
    "datestyle",
    "array_nulls",
    "extra_float_digits",
    "default_transaction_read_only",
    "default_transaction_isolation",
)
"""Each of them hides behind another one where all are changed at once."""


@pytest.fixture
def url(postgres: Databases) -> Iterator[str]:
    url = postgres.empty()
    yield url
    postgres.drop(url)


def name_of(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])


def change(url: str, changed: dict[str, str]) -> None:
    """For all sessions of the database from now on."""
    with psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=off") as session:
        for setting, value in changed.items():
            if setting == "default_table_access_method":  # One that is not there cannot be set for a database.
                continue
            if setting not in SINCE_17 or session.info.server_version >= 170000:
                session.execute(f'ALTER DATABASE "{name_of(url)}" SET {setting} = {value}'.encode())


async def live(database: Database) -> list[Any]:
    """A bit of everything; what readers see of it."""
    clock = Clock()
    async with opened(database, clock) as store:
        await start(store, "a", tags={"k": "é\\'\""})
        await asyncio.gather(*(store.runs.start(start_of(name)) for name in "bcd"))
        claimed = {each.run.id: each for each in await store.leases.claim(4)}
        clock.advance(0.123)
        await store.steps.commit(
            claimed["a"].lease, success(claimed["a"].run, n=1e-7), started=LATER - 0.3, finished=LATER, lines=said("\\")
        )
        await asyncio.gather(
            *(commit(store, claimed[name].lease, failure(claimed[name].run), at=LATER) for name in "bc")
        )
        await parked(store, "w", APPROVAL)
        await store.signals.send("w", "ok", '{"x":"\\\\"}')
        await store.control.pause("d")
        await asyncio.wrap_future(store.leases.renew([claimed["a"].lease]))
        await store.servers.join()
        seen: list[Any] = [await store.runs.page(filter_of(), 10), await store.runs.whole("a", 0, 10)]
        seen += [await store.history.page("a", 0, 10)]
        seen += [(await store.history.why(name)).run for name in "abcdw"]
        seen += [await store.logs.page(name, 0, 10) for name in "abcdw"]
        seen += [await store.limits.page(10)]
        return seen


@pytest.fixture(scope="module")
def honest(postgres: Databases) -> tuple[list[Any], dict[str, list[Any]]]:
    """What is seen and stored where nobody has changed anything."""
    url = postgres.empty()
    database = database_at(url)
    migrate(database)
    seen = asyncio.run(live(database))
    stored = dump(database)
    postgres.drop(url)
    return seen, stored


async def assert_as_ever(url: str, database: Database, honest: tuple[list[Any], dict[str, list[Any]]]) -> None:
    migrate(database)
    assert await live(database) == honest[0]
    with psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=off") as session:
        session.execute(f'ALTER DATABASE "{name_of(url)}" RESET ALL'.encode())
    assert dump(database_at(url)) == honest[1]


@pytest.mark.parametrize("setting", ALONE)
async def test_a_setting_that_somebody_has_changed_changes_nothing(url: str, honest: Any, setting: str) -> None:
    change(url, {setting: CHANGED[setting]})
    await assert_as_ever(url, database_at(url), honest)


@pytest.mark.parametrize("form", ["", "?pooler=transaction"], ids=["direct", "pooled"])
async def test_all_settings_changed_at_once_change_nothing(url: str, honest: Any, form: str) -> None:
    change(url, CHANGED)
    await assert_as_ever(url, database_at(url + form), honest)


async def test_an_environment_and_a_url_that_change_settings_change_nothing(
    url: str, honest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = database_at(f"{url}?client_encoding=LATIN1&options=-c%20array_nulls%3Doff")
    with monkeypatch.context() as patch:
        patch.setenv("PGDATESTYLE", "German")
        patch.setenv("PGTZ", "America/St_Johns")
        patch.setenv("PGCLIENTENCODING", "LATIN1")
        migrate(database)
        seen = await live(database)
    assert (seen, dump(database_at(url))) == honest


@pytest.mark.parametrize("form", ["", "?pooler=transaction"], ids=["direct", "pooled"])
async def test_a_search_path_that_is_changed_under_a_server_leads_nobody_elsewhere(url: str, form: str) -> None:
    database = database_at(url + form)
    migrate(database)

    async with opened(database) as store:
        await start(store, "before")
        with sql(database) as session:
            session.execute("CREATE SCHEMA elsewhere")
            session.execute("CREATE TABLE elsewhere.runs (LIKE public.runs)")
        change(url, {"search_path": "elsewhere"})
        with psycopg.connect(url, autocommit=True) as session:
            session.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await start(store, "after")
        assert [run.run_id for run in (await store.runs.page(filter_of(), 10)).items] == ["after", "before"]
    assert ask(database, "SELECT id FROM public.runs ORDER BY id") == [("after",), ("before",)]


async def test_the_tables_are_made_and_found_in_the_schema_that_the_search_path_names(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute('CREATE SCHEMA "It""s mine"')
    change(url, {"search_path": '"It""s mine", public'})
    migrate(database_at(url))

    async with opened(database_at(url)) as store:
        await start(store, "r")
        assert (await store.runs.get("r")).run_id == "r"
    assert ask(database_at(url), 'SELECT id FROM "It""s mine".runs') == [("r",)]


@pytest.mark.parametrize(
    ("setting", "value", "why"),
    [
        ("session_replication_role", "replica", "session_replication_role is replica"),
        ("zero_damaged_pages", "on", "zero_damaged_pages is on"),
        ("ignore_checksum_failure", "on", "ignore_checksum_failure is on"),
        ("synchronous_commit", "off", "synchronous_commit is off"),
        ("search_path", "nowhere", "search_path names no schema"),
    ],
)
def test_a_setting_that_the_session_may_not_change_refuses_the_start_by_its_name(
    url: str, setting: str, value: str, why: str
) -> None:
    change(url, {setting: value})
    with pytest.raises(StartRefused, match=why):
        migrate(database_at(url))


@pytest.mark.parametrize("form", ["", "?pooler=transaction"], ids=["direct", "pooled"])
def test_no_limit_of_somebody_elses_ends_what_the_store_does(url: str, form: str) -> None:
    database = database_at(url + form)
    with psycopg.connect(url) as session:
        limits = [limit for limit in LIMITS if limit not in SINCE_17 or session.info.server_version >= 170000]
    change(url, dict.fromkeys(limits, "'1h'"))
    with database.connect_writer() as connection:
        database.begin(connection)
        assert [connection.execute(f"SHOW {limit}".encode()).fetchone() for limit in limits] == [("0",)] * len(limits)
        assert connection.execute("SHOW lock_timeout").fetchone() == (f"{LOCK_MS}ms",)


def test_no_limit_of_somebody_elses_ends_a_transaction_before_it_sets_its_own(url: str) -> None:
    change(url, {"idle_in_transaction_session_timeout": "'1ms'"})
    with database_at(url).connect_writer() as connection:
        assert connection.execute("SHOW idle_in_transaction_session_timeout").fetchone() == ("0",)


@pytest.mark.parametrize(("given", "told"), [("local", "on"), ("remote_write", "on"), ("remote_apply", "remote_apply")])
def test_a_commit_waits_for_the_disk_of_the_standby_as_well(url: str, given: str, told: str) -> None:
    change(url, {"synchronous_commit": given})
    database = database_at(url)
    with database.connect_writer() as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == (told,)


async def test_a_server_that_is_told_other_settings_while_it_runs_changes_nothing() -> None:
    with own_server() as server:
        migrate(database_at(server.url))

        async def scenario() -> None:
            async with opened(database_at(server.url)) as store:
                await start(store, "before")
                with psycopg.connect(server.url, autocommit=True) as session:
                    for setting, value in {
                        "datestyle": "German",
                        "array_nulls": "off",
                        "synchronous_commit": "off",
                    }.items():
                        session.execute(f"ALTER SYSTEM SET {setting} = '{value}'".encode())
                    session.execute("SELECT pg_reload_conf()")
                await asyncio.gather(*(store.runs.start(start_of(name)) for name in "ab"))
                assert len(await store.leases.claim(10)) == 3
                assert (await store.runs.get("a")).forked_from_id is None

        await scenario()


def test_a_postgresql_that_is_too_old_is_refused_before_it_is_told_anything() -> None:
    connection: Any = SimpleNamespace(info=SimpleNamespace(server_version=130012))
    with pytest.raises(psycopg.NotSupportedError, match="PostgreSQL 13 is too old: 15 is needed"):
        Sessions(has_pooler=False, allow_undurable=False).open(connection)


def test_the_message_that_opens_a_step_sets_two_limits_and_nothing_else(url: str) -> None:
    database = database_at(url)
    assert isinstance(database, Postgres)
    database.connect_writer().close()
    message = database.sessions.begin(50)
    assert message.count(b"SET LOCAL") == 2
    assert len(message) < 200
