"""One server for all of the documentation, with the tools of the examples and of the documentation's own files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.docs.preparing import prepare
from tests.support.system.process import Server, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("docs")
    with serving(folder, tools=prepare(folder)) as found:
        yield found
