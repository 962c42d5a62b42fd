"""A migrated database for each test: on SQLite a copy of a file that is made once, on PostgreSQL one of a template."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.store.database.opening import database_at
from service.store.database.protocol import Database
from service.store.database.sqlite.connections import Sqlite
from tests.support.migrated import copy_to
from tests.support.postgres import Databases
from tests.support.sessions import end_spares
from tests.support.store.harness import Clock, clean
from tests.support.store.reusing import reusing

_NEW_SESSIONS = {Path(__file__).parent / name for name in ("database", "schema")}
"""Folders whose tests look at connections, and use none that another test has used."""


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("migrated") / "rungraph.db"
    copy_to(file)
    return file


@pytest.fixture
def file(tmp_path: Path) -> Sqlite:
    database = Sqlite(tmp_path / "rungraph.db")
    copy_to(database.file)
    return database


@pytest.fixture
def server_database(request: pytest.FixtureRequest, postgres: Databases) -> Iterator[Database]:
    url = postgres.migrated()
    if _NEW_SESSIONS.isdisjoint(request.path.parents):
        yield reusing(url)
    else:
        end_spares(url)
        yield database_at(url)
    postgres.drop(url)


@pytest.fixture(scope="module")
def kept(postgres: Databases) -> Iterator[Database]:
    """A database of PostgreSQL for all tests of a module, which remove its rows."""
    url = postgres.migrated()
    yield reusing(url)
    postgres.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """The contract of the store holds on both."""
    name = "file" if request.param == "sqlite" else "server_database"
    database: Database = request.getfixturevalue(name)
    return database


@pytest.fixture(params=["sqlite", "postgresql"])
def emptied(request: pytest.FixtureRequest) -> Database:
    """A database of each kind without rows. On PostgreSQL it is the module's, which costs less than a new one."""
    if request.param == "sqlite":
        file: Database = request.getfixturevalue("file")
        return file
    kept: Database = request.getfixturevalue("kept")
    clean(kept)
    return kept


@pytest.fixture
def clock() -> Clock:
    return Clock()
