"""One server for all of the documentation, with the tools of the examples and of the documentation's own files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.docs.preparing import prepare
from tests.support.receiving import SECRET
from tests.support.system.process import Server, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("docs")
    webhooks = {"RUNGRAPH_WEBHOOK_HOSTS": "127.0.0.1", "RUNGRAPH_WEBHOOK_SECRET": SECRET}
    with serving(folder, tools=prepare(folder), **webhooks) as found:
        yield found
