from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.engine.cluster import Dask, dask


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    """One scheduler and one worker for the tests of a module."""
    with dask(tmp_path_factory.mktemp("dask"), "one") as made:
        yield made
