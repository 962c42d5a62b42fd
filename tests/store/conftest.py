"""A migrated database file for each test, copied from one that is made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from service.store.database import Database
from service.store.schema import migrate
from tests.store.support import Clock


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    database = Database(tmp_path_factory.mktemp("migrated") / "rungraph.db")
    migrate(database)
    return database.file


@pytest.fixture
def database(migrated: Path, tmp_path: Path) -> Database:
    return Database(Path(shutil.copy(migrated, tmp_path / "rungraph.db")))


@pytest.fixture
def clock() -> Clock:
    return Clock()
