"""PATH, the contract's way to name a place in the state: dotted, or a JSON Pointer where it starts with `/`."""

from __future__ import annotations

import re
from typing import Any

MISSING = object()
"""What `step_into` answers where there is nothing; None is a value."""

_INDEX = re.compile(r"0|[1-9][0-9]{0,17}")
_BAD_ESCAPE = re.compile("~(?![01])")


def fault_in(path: str) -> str | None:
    """Why `path` is none, or None where it is one."""
    if not path:
        return "a path is not empty"
    if path.startswith("/") and _BAD_ESCAPE.search(path):
        return "in a JSON Pointer `~` is written `~0` and `/` inside a name `~1`"
    return None


def segments(path: str) -> list[str]:
    if path.startswith("/"):
        return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]
    return path.split(".")


def step_into(value: Any, segment: str) -> Any:
    """The member or element of `value` that `segment` names, or MISSING."""
    if isinstance(value, dict):
        return value.get(segment, MISSING)
    if isinstance(value, list) and _INDEX.fullmatch(segment) and int(segment) < len(value):
        return value[int(segment)]
    return MISSING
