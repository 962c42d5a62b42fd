"""One browser for the tests of the page, which are skipped, and say so, without a Chromium, and one server a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.support.page.browser import Watch, browser, watched
from tests.support.page.graphs import TOOLS
from tests.support.page.programs import NO_BROWSER, chromium
from tests.support.system.process import Server


# Not for the session: while Playwright runs, its loop is the running one of the process's main thread, and no other
# test of the same process could run a loop of its own. The tests of this package run none.
@pytest.fixture(scope="package")
def chrome() -> Iterator[Browser]:
    if chromium() is None:
        pytest.skip(NO_BROWSER)
    with browser() as found:
        yield found


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tools") / "tools.py"
    file.write_text(TOOLS)
    return file


@pytest.fixture(scope="module")
def server(chrome: Browser, tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:  # noqa: ARG001
    """A server for the tests of a module. It asks for the browser first, without which nothing needs it."""
    found = Server(tmp_path_factory.mktemp("page"), tools=[tools]).start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def modules(server: Server, chrome: Browser) -> Iterator[Page]:
    """A page for tests that only call functions of the page's modules. They share it, for a page is slow to open."""
    with watched(chrome) as found:
        found.page.goto(f"{server.url}/ui/graphs")
        yield found.page


@pytest.fixture
def watch(chrome: Browser) -> Iterator[Watch]:
    with watched(chrome) as found:
        yield found
