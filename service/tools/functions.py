"""Find a function again in another process, by its module and its qualified name."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any, NoReturn


def place_of_function(function: Callable[..., Any]) -> tuple[str, str]:
    """Return the module and the qualified name of a function. Each is empty if the function has none."""
    return str(getattr(function, "__module__", "")), str(getattr(function, "__qualname__", ""))


def function_at(module: str, name: str) -> Callable[..., Any]:
    """Return the function of that name. If it cannot be imported, return a function that raises a RuntimeError."""
    try:
        if module == "__main__":
            raise ImportError("its module is the program itself")
        found: Any = functools.reduce(getattr, name.split("."), importlib.import_module(module))
    except Exception as error:
        return _missing(f"{module}.{name} cannot be imported in a process of its own: {type(error).__name__}: {error}")
    if not callable(found):
        return _missing(f"{module}.{name} is no function in a process of its own")
    return found  # type: ignore[no-any-return]


def _missing(message: str) -> Callable[..., Any]:
    def missing() -> NoReturn:
        raise RuntimeError(message)

    return missing
