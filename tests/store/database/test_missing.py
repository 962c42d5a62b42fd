"""Tables that somebody has taken away, or hides: a 503 that says what is lacking, until they are back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from service.core.errors import Unavailable
from service.store import Store
from service.store.database.opening import database_at
from service.store.database.postgres.connections import Postgres
from service.store.database.protocol import Database
from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.schema.migrate import migrate
from service.store.schema.models import metadata
from service.store.schema.views import VIEWS
from tests.support.postgres import Databases
from tests.support.store.filters import filter_of
from tests.support.store.harness import ask, claim_one, commit, opened, sql, start, start_of, success

CALLS: dict[str, Callable[[Store], Awaitable[Any]]] = {
    "start": lambda store: store.runs.start(start_of("new"), within_s=60),
    "claim": lambda store: store.leases.claim(10),
    "cancel": lambda store: store.control.cancel("r", within_s=60),
    "signal": lambda store: store.signals.send("r", "ok", "1", within_s=60),
    "get": lambda store: store.runs.get("r"),
    "page": lambda store: store.runs.page(filter_of(), 10),
    "steps": lambda store: store.history.page("r", 0, 10),
    "lines": lambda store: store.logs.page("r", 0, 10),
    "probe of writes": lambda store: store.servers.probe(within_s=60),
    "probe of reads": lambda store: store.probe_reading(),
}


def take_all_away(database: Database) -> None:
    with sql(database) as session:
        for view in VIEWS[database.dialect]:
            session.execute(f"DROP VIEW {view}")
        for table in reversed(metadata.sorted_tables):
            session.execute(f"DROP TABLE {table.name}")
        session.execute("DROP TABLE alembic_version")


async def assert_unavailable(store: Store, why: str, calls: Any = CALLS) -> None:
    for call in calls:
        with pytest.raises(Unavailable) as refused:
            await CALLS[call](store)
        assert re.search(why, str(refused.value)), f"{call}: {refused.value}"


async def test_without_its_tables_each_call_says_what_is_lacking_and_all_is_well_when_they_are_back(
    database: Database,
) -> None:
    async with opened(database) as store:
        await start(store, "r")
        carried = await claim_one(store)
        take_all_away(database)
        await assert_unavailable(store, f"^(the database cannot be read: )?{database.name} lacks the tables? \\w+")
        with pytest.raises(Unavailable, match="lacks the tables"):
            await commit(store, carried.lease, success(carried.run, n=1))
        migrate(database)
        await store.probe_reading()
        await store.servers.probe(within_s=60)
        await start(store, "after")
        assert (await claim_one(store)).lease.run_id == "after"


async def test_without_a_column_the_calls_that_need_it_name_it(database: Database) -> None:
    async with opened(database) as store:
        await start(store, "r")
        with sql(database) as session:
            session.execute("ALTER TABLE runs DROP COLUMN failures")
        await assert_unavailable(store, r"lacks the column runs\.failures", ["claim", "probe of reads"])
        assert (await store.runs.get("r")).run_id == "r"
        with sql(database) as session:
            session.execute("ALTER TABLE runs ADD COLUMN failures int NOT NULL DEFAULT 0")
        await store.probe_reading()
        assert (await claim_one(store)).run.failures == 0


async def test_without_the_view_that_it_reads_it_is_not_ready_and_names_it(database: Database) -> None:
    async with opened(database) as store:
        with sql(database) as session:
            session.execute("DROP VIEW v_limits")
        for call in (store.limits.page(10), store.probe_reading()):
            with pytest.raises(Unavailable, match="v_limits"):
                await call
        with sql(database) as session:
            session.execute(f"CREATE VIEW v_limits AS {VIEWS[database.dialect]['v_limits']}")
        assert (await store.limits.page(10)).items == ()
        await store.probe_reading()


async def test_a_statement_of_ours_that_is_wrong_is_a_fault_and_no_lack(database: Database) -> None:
    async with opened(database) as store:
        for wrong in ("SELECT nonsense FROM runs", "SELECT 1 FROM nonsense"):
            statement = Statement(text(wrong))

            def command(transaction: Transaction, statement: Statement = statement) -> list[Any]:
                return transaction.all(statement)

            with pytest.raises(database.errors, match="nonsense"):
                await store._writer.write(command)
        await start(store, "r")


# What only PostgreSQL can take away.


@pytest.fixture
def server(postgres: Databases) -> Iterator[Postgres]:
    url = postgres.migrated()
    database = database_at(url)
    assert isinstance(database, Postgres)
    yield database
    with psycopg.connect(postgres.url, autocommit=True) as session:
        session.execute(f'DROP DATABASE IF EXISTS "{name_of(database)}" WITH (FORCE)'.encode())


async def refusal(store: Store) -> str:
    """Why the database takes no writes: it may be told before a connection was tried once."""
    with pytest.raises(Unavailable) as refused:
        await store.servers.probe(within_s=0.3)
    return str(refused.value)


def name_of(database: Postgres) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(database.conninfo)["dbname"])


async def test_a_schema_that_is_dropped_or_renamed_is_missed_and_welcome_when_it_is_back(server: Postgres) -> None:
    async with opened(server) as store:
        await start(store, "r")
        with sql(server) as session:
            session.execute("ALTER SCHEMA public RENAME TO hidden")
        await assert_unavailable(store, "lacks the tables .* hides them")
        with sql(server) as session:
            session.execute("ALTER SCHEMA hidden RENAME TO public")
        assert (await claim_one(store)).lease.run_id == "r"
        with sql(server) as session:
            session.execute("DROP SCHEMA public CASCADE")
        await assert_unavailable(store, "lacks the tables")
        with sql(server) as session:
            session.execute("CREATE SCHEMA public")
        migrate(server)
        await start(store, "r")
        assert (await store.runs.get("r")).run_id == "r"


async def test_a_database_that_is_dropped_and_made_anew_is_missed_and_welcome_when_it_is_back(
    server: Postgres, postgres: Databases
) -> None:
    async with opened(server) as store:
        await start(store, "r")
        with psycopg.connect(postgres.url, autocommit=True) as session:
            session.execute(f'DROP DATABASE "{name_of(server)}" WITH (FORCE)'.encode())
            await assert_unavailable(store, f"{server.name} does not exist", ["get", "probe of reads"])
            async with asyncio.timeout(60):
                while f"{server.name} does not exist" not in await refusal(store):
                    pass
            session.execute(f'CREATE DATABASE "{name_of(server)}"'.encode())
        await assert_unavailable(store, "lacks the tables")
        migrate(server)
        await start(store, "r")
        assert (await claim_one(store)).lease.run_id == "r"


async def test_a_right_that_is_revoked_is_named_until_it_is_granted_again(server: Postgres) -> None:
    role = f"plain_{name_of(server)}"
    with sql(server) as session:
        session.execute(f"CREATE ROLE {role} LOGIN")
        session.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    given = psycopg.conninfo.conninfo_to_dict(server.conninfo)
    plain = database_at(f"postgresql://{role}@{given['host']}:{given['port']}/{name_of(server)}")

    async def scenario() -> None:
        async with opened(plain) as store:
            await start(store, "r")
            with sql(server) as session:
                session.execute(f"REVOKE ALL ON runs FROM {role}")
            await assert_unavailable(store, "forbids this server .*permission denied for table runs")
            with sql(server) as session:
                session.execute(f"GRANT SELECT ON runs TO {role}")
            await assert_unavailable(store, "forbids this server", ["start", "claim", "probe of writes"])
            assert (await store.runs.get("r")).run_id == "r"
            with sql(server) as session:
                session.execute(f"GRANT ALL ON runs TO {role}")
                session.execute(f"REVOKE USAGE ON SCHEMA public FROM PUBLIC, {role}")
            await assert_unavailable(store, "lacks the tables .* hides them")
            with sql(server) as session:
                session.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
            assert (await claim_one(store)).lease.run_id == "r"

    try:
        await scenario()
    finally:
        with sql(server) as session:
            session.execute(f"DROP OWNED BY {role}")
            session.execute(f"DROP ROLE {role}")
    assert ask(server, "SELECT id FROM runs") == [("r",)]
