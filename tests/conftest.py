"""What holds for every test: Hypothesis sets no deadline, since other processes may have the cores, and is brief."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.postgres import Databases, databases

settings.register_profile("rungraph", deadline=None, max_examples=40)
settings.load_profile("rungraph")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Databases]:
    """A PostgreSQL server, started for the first test that wants one."""
    with databases() as made:
        yield made
