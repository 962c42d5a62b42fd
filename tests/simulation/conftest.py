"""One database for all runs that simulations are compared with."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.engine.harness import Bench, bench


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="session")
def made(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A database without an engine. Each test gives it its tools."""
    opening = bench(tmp_path_factory.mktemp("real"), ())
    yield runner.run(opening.__aenter__())
    runner.run(opening.__aexit__(None, None, None))
