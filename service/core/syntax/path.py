"""Paths, which name a place in the state: dotted names, or a JSON Pointer if the path begins with `/`."""

from __future__ import annotations

import re
from typing import Any

MISSING = object()
"""The result of `step_into` if there is no value. None would not do: it stands for the value null."""

_INDEX = re.compile(r"0|[1-9][0-9]{0,17}")
_BAD_ESCAPE = re.compile("~(?![01])")


def fault_in(path: str) -> str | None:
    """Return why `path` is invalid, or None if it is valid."""
    if not path:
        return "a path must not be empty"
    if path.startswith("/") and _BAD_ESCAPE.search(path):
        return "in a JSON Pointer, write `~` as `~0` and a `/` in a name as `~1`"
    return None


def segments(path: str) -> list[str]:
    """Return the names in `path`, unescaped."""
    if path.startswith("/"):
        return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]
    return path.split(".")


def step_into(value: Any, segment: str) -> Any:
    """Return the member or element of `value` that `segment` names, or MISSING."""
    if isinstance(value, dict):
        return value.get(segment, MISSING)
    if isinstance(value, list) and _INDEX.fullmatch(segment) and int(segment) < len(value):
        return value[int(segment)]
    return MISSING
