"""One server that executes runs, for all tests of the clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rungraph import Client
from tests.support.api.executing import executing
from tests.support.api.harness import Server


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with executing(tmp_path_factory.mktemp("live")) as found:
        yield found


@pytest.fixture(scope="module")
def client(live: Server) -> Iterator[Client]:
    with Client(live.url) as made:
        yield made
