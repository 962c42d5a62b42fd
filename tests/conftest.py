"""What holds for every test: Hypothesis sets no deadline, since other processes may have the cores, and is brief."""

from __future__ import annotations

import compileall
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.checkout import CHECKOUT
from tests.support.page.programs import report_missing
from tests.support.postgres import Databases, databases, remove_cluster

settings.register_profile("rungraph", deadline=None, max_examples=40)
settings.load_profile("rungraph")


def pytest_configure(config: pytest.Config) -> None:
    """Compile the service once: some two hundred processes of the tests import it, and some may write no bytecode."""
    if not hasattr(config, "workerinput"):
        for folder in ("rungraph", "service", "migrations"):
            compileall.compile_dir(CHECKOUT / folder, quiet=1)


def pytest_sessionfinish() -> None:
    remove_cluster()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # Not in the folder of the page: with pytest-xdist, the process that reports does not load the conftest there.
    report_missing(terminalreporter)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Databases]:
    """A PostgreSQL server, started for the first test that wants one."""
    with databases() as made:
        yield made


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop of the async tests."""
    return "asyncio"
