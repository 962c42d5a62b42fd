from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.api.executing import executing
from tests.support.api.harness import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as found:
        yield found


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that executes runs as well."""
    with executing(tmp_path_factory.mktemp("live")) as found:
        yield found


@pytest.fixture(scope="module")
def http(live: Server) -> Iterator[httpx.Client]:
    with live.client() as found:
        yield found
