"""Settings of every test: the number of random examples, the order of the tests, and the databases they share."""

from __future__ import annotations

import compileall
import gc
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.memory import memory_folder
from tests.support.page.programs import report_missing
from tests.support.postgres import Databases, databases, remove_cluster
from tests.support.profile import load_hypothesis_profile

_TESTS = Path(__file__).resolve().parent
_LONG = {_TESTS / name for name in ("system", "page", "faults")}
"""Folders of tests that wait for processes."""

load_hypothesis_profile()


def pytest_configure(config: pytest.Config) -> None:
    """Compile the service once: some two hundred processes of the tests import it, and some may write no bytecode."""
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is None:
        if (memory := memory_folder()) is not None:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))  # The place of `tmp_path`.
        for folder in ("rungraph", "service", "migrations"):
            compileall.compile_dir(CHECKOUT / folder, quiet=1)
    elif [(CHECKOUT / name).resolve() for name in config.args] == [_TESTS]:
        # Each worker begins with other folders, so that it finds the bytecode of most tests as another one wrote it.
        folders = sorted(str(each) for each in _TESTS.iterdir() if each.is_dir() and not each.name.startswith("__"))
        first = int(worker["workerid"].removeprefix("gw")) * len(folders) // worker["workercount"]
        config.args = [*folders[first:], *folders[:first], *sorted(map(str, _TESTS.glob("test_*.py")))]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the bytecode of the tests, whatever the environment says: to compile them takes half of the collection."""
    may_not, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    gc.disable()
    try:
        return (yield)
    finally:
        sys.dont_write_bytecode = may_not
        # Modules and tests stay to the end: no later collection of garbage has to look at them.
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give all workers the same order, which begins with the tests that wait for processes.

    The first worker begins with these, the others with tests that need a core. At the end short tests are left, which
    the workers can share, and nobody waits for a worker that has begun a long one last.
    """
    items.sort(key=lambda item: (_LONG.isdisjoint(item.path.parents), item.path))


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
