"""The form of the ids of runs and graphs. A malformed id is treated as an unknown one."""

from __future__ import annotations

import hashlib
import re

from service.core.errors import NotFound

_RUN_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_GRAPH_ID = re.compile("[0-9a-f]{32}")


def is_run_id(text: str) -> bool:
    """Return whether `text` has the form of a run's id: a UUID of version 7."""
    return _RUN_ID.fullmatch(text) is not None


def is_graph_id(text: str) -> bool:
    """Return whether `text` has the form of a graph's id."""
    return _GRAPH_ID.fullmatch(text) is not None


def parse_run_id(text: str) -> str:
    """Return `text` if it has the form of a run's id. Raise NotFound otherwise."""
    if not is_run_id(text):
        raise NotFound("run", text[:100])
    return text


def parse_graph_id(text: str) -> str:
    """Return `text` if it has the form of a graph's id. Raise NotFound otherwise."""
    if not is_graph_id(text):
        raise NotFound("graph", text[:100])
    return text


def derived_run_id(time: str, *origin: object) -> str:
    """Return a UUID of version 7 with a digest of `origin`: the same arguments always give the same id.

    `time` is the part of the id before the version: 12 hexadecimal digits, with a hyphen after the eighth.
    """
    digest = hashlib.sha256(":".join(map(str, origin)).encode()).hexdigest()
    variant = "89ab"[int(digest[3], 16) % 4]
    return f"{time}-7{digest[:3]}-{variant}{digest[4:7]}-{digest[7:19]}"
