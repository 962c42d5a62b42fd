"""On PostgreSQL migrations make what the models say, once, whoever applies them; what is newer is refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import create_engine

from service.core.errors import StartRefused
from service.store.database.opening import database_at
from service.store.database.postgres.connections import MIGRATION_LOCK, Postgres
from service.store.database.protocol import Database
from service.store.schema.migrate import migrate
from service.store.schema.models import metadata
from service.store.schema.views import VIEWS
from tests.support.migrated import migrate_in_processes
from tests.support.postgres import Databases
from tests.support.store.harness import HEAD, ask, sql, until

# Each asks for lines that name what they tell of, in an order that does not depend on how the schema was made.
CATALOG = {
    "columns": """\
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, coalesce(o.collname, ''),
    coalesce(pg_get_expr(d.adbin, d.adrelid), '')
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_collation o ON o.oid = a.attcollation
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v') AND a.attnum > 0 AND NOT a.attisdropped""",
    "tables": """\
SELECT relname, reloptions::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'""",
    "indexes": """\
SELECT tablename, indexname, pg_get_indexdef(indexname::regclass) FROM pg_indexes WHERE schemaname = 'public'""",
    "constraints": """\
SELECT conrelid::regclass::text, conname, contype::text, pg_get_constraintdef(oid), condeferrable, condeferred
FROM pg_constraint WHERE contype <> 'n' AND connamespace = 'public'::regnamespace""",
    "views": """\
SELECT relname, pg_get_viewdef(oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'""",
}


@pytest.fixture
def database(server_database: Database) -> Database:
    return server_database


@pytest.fixture
def empty(postgres: Databases) -> Iterator[Database]:
    url = postgres.empty()
    yield database_at(url)
    postgres.drop(url)


def schema(database: Database) -> dict[str, list[tuple[object, ...]]]:
    return {
        name: sorted(row for row in ask(database, query) if row[0] != "alembic_version")
        for name, query in CATALOG.items()
    }


def make_models(database: Postgres) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(database.conninfo))
    metadata.create_all(engine)
    with engine.begin() as connection:
        for name, select in VIEWS["postgresql"].items():
            connection.exec_driver_sql(f"CREATE VIEW {name} AS {select}")
    engine.dispose()


def test_migrations_make_what_the_models_say(database: Database, empty: Database) -> None:
    assert isinstance(empty, Postgres)
    make_models(empty)
    migrated, models = schema(database), schema(empty)
    for part in CATALOG:
        assert migrated[part] == models[part]
    assert {name for name, *_ in migrated["views"]} == set(VIEWS["postgresql"])
    assert {table for table, *_ in migrated["columns"]} >= set(metadata.tables)
    assert ("runs", "runs_status") in {(table, name) for table, name, *_ in migrated["constraints"]}


def test_keys_have_the_order_of_code_points_and_times_have_zones(database: Database) -> None:
    columns = {(table, name): (kind, collation) for table, name, kind, _, collation, _ in schema(database)["columns"]}
    assert columns["runs", "id"] == columns["changes", "key"] == ("text", "C")
    assert columns["runs", "due_at"] == ("timestamp with time zone", "")


def test_migrating_twice_changes_nothing(database: Database) -> None:
    before = schema(database)
    assert migrate(database) == [HEAD]
    assert schema(database) == before
    assert ask(database, "SELECT version_num FROM alembic_version") == [(HEAD,)]


def test_a_database_of_a_newer_version_is_refused_and_left_alone(database: Database) -> None:
    with sql(database) as session:
        session.execute("UPDATE alembic_version SET version_num = '9999'")
    before = schema(database)
    with pytest.raises(StartRefused, match="9999, newer than this version"):
        migrate(database)
    assert schema(database) == before
    assert ask(database, "SELECT version_num FROM alembic_version") == [("9999",)]


def test_a_database_of_somebody_elses_is_refused_and_left_alone(empty: Database) -> None:
    with sql(empty) as session:
        session.execute("CREATE TABLE runs (id int)")
    before = schema(empty)
    with pytest.raises(StartRefused, match='"runs" already exists'):
        migrate(empty)
    assert schema(empty) == before
    assert ask(empty, "SELECT to_regclass('graphs')") == [(None,)]


def test_ten_threads_migrating_at_once_make_one_schema(empty: Database, database: Database) -> None:
    outcomes: list[list[str]] = []
    threads = [threading.Thread(target=lambda: outcomes.append(migrate(empty))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [[HEAD]] * 10
    assert schema(empty) == schema(database)
    assert ask(empty, "SELECT version_num FROM alembic_version") == [(HEAD,)]


def test_two_processes_migrating_at_once_make_one_schema(postgres: Databases, database: Database) -> None:
    url = postgres.empty()
    assert migrate_in_processes(url, 2) == [f"go\n ['{HEAD}']\n"] * 2
    assert schema(database_at(url)) == schema(database)
    postgres.drop(url)


def test_a_migration_waits_for_somebody_who_migrates(empty: Database) -> None:
    outcomes: list[list[str]] = []
    thread = threading.Thread(target=lambda: outcomes.append(migrate(empty)))
    with sql(empty) as session:
        session.execute(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")
        thread.start()
        waiting = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        until(lambda: ask(empty, waiting))
        assert not outcomes
    thread.join(60)
    assert outcomes == [[HEAD]]
