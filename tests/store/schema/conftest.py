"""The tests of connections use none that another test has used."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.store.database.opening import database_at
from service.store.database.protocol import Database
from tests.support.postgres import Databases
from tests.support.sessions import end_spares


@pytest.fixture
def server_database(postgres: Databases) -> Iterator[Database]:
    """A database whose stores open sessions of their own."""
    url = postgres.migrated()
    end_spares(url)
    yield database_at(url)
    postgres.drop(url)
