"""Migrations make what the models say, once, whoever applies them; what is newer or no database is refused."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from service.core.errors import StartRefused
from service.store.database.sqlite.connections import Sqlite
from service.store.schema.migrate import migrate
from service.store.schema.models import metadata
from service.store.schema.views import VIEWS
from tests.support.checkout import CHECKOUT
from tests.support.migrated import migrate_in_processes
from tests.support.store.harness import HEAD, ask, locked, sql


@pytest.fixture
def database(file: Sqlite) -> Sqlite:
    return file


def schema(file: Path) -> dict[tuple[str, str], str]:
    """The text of each table, index and view, but for white space and the order of a table's parts."""
    rows = ask(Sqlite(file), "SELECT type, name, tbl_name, sql FROM sqlite_master")
    return {
        (kind, name): _normal(text or f"implied by {table}")
        for kind, name, table, text in rows
        if table != "alembic_version"
    }


def _normal(text: str) -> str:
    text = re.sub(r"\s+", " ", text)
    head, _, body = text.partition("(")
    if not text.startswith("CREATE TABLE"):
        return text
    body, _, tail = body.rpartition(")")
    return " | ".join([head.replace('"', ""), *sorted(_parts(body)), tail.strip()])


def _parts(body: str) -> list[str]:
    """What stands between the commas that are in no bracket."""
    parts, depth = [""], 0
    for mark in body:
        depth += (mark == "(") - (mark == ")")
        if mark == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += mark
    return [part.strip() for part in parts]


def test_migrations_make_what_the_models_say(tmp_path: Path) -> None:
    migrate(Sqlite(tmp_path / "migrated.db"))
    engine = create_engine(Sqlite(tmp_path / "models.db").url)
    metadata.create_all(engine)
    with engine.begin() as connection:
        for name, select in VIEWS["sqlite"].items():
            connection.exec_driver_sql(f"CREATE VIEW {name} AS {select}")
    engine.dispose()
    migrated, models = schema(tmp_path / "migrated.db"), schema(tmp_path / "models.db")
    assert migrated == models
    assert {name for kind, name in migrated if kind == "view"} == set(VIEWS["sqlite"])
    assert len([name for kind, name in migrated if kind == "table"]) == len(metadata.tables)


def frozen(revision: str) -> dict[str, Any]:
    """What a revision defines."""
    namespace: dict[str, Any] = {}
    exec((CHECKOUT / "migrations/versions" / revision).read_text(), namespace)
    return namespace


def test_the_frozen_views_of_the_migrations_are_the_models_on_both_databases() -> None:
    names = ("0009_deletions.py", "0010_limits.py", "0011_missing_tools_and_traces.py", "0012_operations.py")
    revisions = [frozen(name)["VIEWS"] for name in names]
    for dialect, views in VIEWS.items():
        assert {name: text for revision in revisions for name, text in revision[dialect].items()} == views


def test_migrating_twice_changes_nothing(database: Sqlite) -> None:
    before = Path(database.name).read_bytes()
    assert migrate(database) == [HEAD]
    assert Path(database.name).read_bytes() == before
    assert ask(database, "SELECT version_num FROM alembic_version") == [(HEAD,)]


def test_a_database_of_a_newer_version_is_refused_and_left_alone(database: Sqlite) -> None:
    with sql(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = Path(database.name).read_bytes()
    with pytest.raises(StartRefused, match="9999, newer than this version"):
        migrate(database)
    assert Path(database.name).read_bytes() == before


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"\0" * 5000, b"SQLite format 3\0" + b"x" * 5000])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "rungraph.db"
    file.write_bytes(content)
    with pytest.raises(StartRefused, match="cannot use"):
        migrate(Sqlite(file))
    assert file.read_bytes() == content


def test_a_database_of_somebody_elses_is_refused_and_left_alone(tmp_path: Path) -> None:
    database = Sqlite(tmp_path / "rungraph.db")
    with sql(database) as connection:
        connection.execute("CREATE TABLE runs (id)")
    before = Path(database.name).read_bytes()
    with pytest.raises(StartRefused, match="runs already exists"):
        migrate(database)
    assert Path(database.name).read_bytes() == before


def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for file in (tmp_path / "file" / "x.db", tmp_path):
        with pytest.raises(StartRefused, match="cannot use"):
            migrate(Sqlite(file))


def test_a_migration_makes_the_folder_and_minds_no_odd_name(tmp_path: Path) -> None:
    file = tmp_path / "what? 100% #1" / "new" / "rungraph.db"
    assert migrate(Sqlite(file)) == [HEAD]
    assert ("view", "v_runs") in schema(file)


def test_two_processes_migrating_at_once_make_one_schema(tmp_path: Path, migrated: Path) -> None:
    file = tmp_path / "rungraph.db"
    assert migrate_in_processes(f"sqlite:///{file}", 2) == [f"go\n ['{HEAD}']\n"] * 2
    assert schema(file) == schema(migrated)


def test_ten_threads_migrating_at_once_make_one_schema(tmp_path: Path, migrated: Path) -> None:
    file = tmp_path / "rungraph.db"
    outcomes: list[list[str]] = []
    threads = [threading.Thread(target=lambda: outcomes.append(migrate(Sqlite(file)))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [[HEAD]] * 10
    assert schema(file) == schema(migrated)


def test_a_migration_waits_for_somebody_who_writes(database: Sqlite) -> None:
    outcomes: list[list[str]] = []
    with locked(database):
        thread = threading.Thread(target=lambda: outcomes.append(migrate(database)))
        thread.start()
        thread.join(0.1)
        assert thread.is_alive()
    thread.join(60)
    assert outcomes == [[HEAD]]
