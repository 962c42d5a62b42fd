"""Load tools within the tests' own process, and forget them afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.tools import imports, registry


@contextmanager
def nothing_loaded() -> Iterator[None]:
    """As in a process that has loaded no tools yet."""
    modules = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", sys.path.copy())
        patch.setattr(sys, "meta_path", sys.meta_path.copy())
        for module, name in ((registry, "_declared"), (imports, "_folders")):
            patch.setattr(module, name, [])
        for module, name in ((registry, "_sources"), (imports, "_kept"), (imports, "_given")):
            patch.setattr(module, name, {})
        try:
            yield
        finally:
            for name in set(sys.modules) - modules:
                del sys.modules[name]
