"""Attributes of a module that are imported when they are first used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any


def attributes_of(module: str, **places: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a `__getattr__` and a `__dir__` for `module` that take each name in `places` from another module.

    A place is `MODULE`, or `MODULE:NAME` if the attribute has another name in that module.
    """

    def get(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        where, _, there = places[name].partition(":")
        found = getattr(importlib.import_module(where), there or name)
        setattr(sys.modules[module], name, found)
        return found

    def names() -> list[str]:
        return sorted({*vars(sys.modules[module]), *places})

    return get, names
