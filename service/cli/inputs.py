"""Read what a command is given: a graph's file, and JSON as an argument or as @FILE.

The functions raise StartRefused if a file cannot be read or does not contain JSON, or if an argument is no JSON.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from service.core import codec
from service.core.errors import Invalid, NotJson, StartRefused

_PATH_BYTES_MAX = 4096


def graph_of(file: Path) -> bytes:
    """Return the content of a graph's file, checked to be JSON."""
    content = _bytes_of(file)
    _decode(str(file), content, codec.DOCUMENT_DEPTH_MAX)
    return content


def state_of(argument: str) -> dict[str, Any]:
    """Return the state that `argument` gives, as JSON or as @FILE."""
    name, content = _named("--state", argument)
    state = _decode(name, content)
    if not isinstance(state, dict):
        raise StartRefused(f"{name} is no JSON object, and a state is one")
    return state


def json_of(name: str, argument: str) -> bytes:
    """Return the JSON text that `argument` gives, directly or as @FILE. `name` stands for the argument in messages."""
    name, content = _named(name, argument)
    _decode(name, content)
    return content


def _named(name: str, argument: str) -> tuple[str, bytes]:
    if argument.startswith("@"):
        return argument[1:], _bytes_of(Path(argument[1:]))
    return name, os.fsencode(argument)


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise StartRefused(f"cannot read {file}: {error.strerror}") from error


def _is_file(text: str) -> bool:
    try:
        return bool(text) and Path(text).is_file()
    except (OSError, ValueError):  # It is too long for a path, or has a NUL.
        return False


def _decode(name: str, content: bytes, depth_max: int = codec.DEPTH_MAX) -> Any:
    try:
        return codec.decode(content, depth_max)
    except NotJson as error:
        text = os.fsdecode(content[:_PATH_BYTES_MAX])
        hint = f"; to read the file, write @{text}" if name.startswith("-") and _is_file(text) else ""
        raise StartRefused(f"{name} is no JSON: {error}{hint}") from error
    except Invalid as error:
        raise StartRefused(f"{name} was refused: {error}") from error
