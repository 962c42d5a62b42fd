"""The form of the ids of runs and graphs. A malformed id is treated as an unknown one."""

from __future__ import annotations

import re

_RUN_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_GRAPH_ID = re.compile("[0-9a-f]{32}")


def is_run_id(text: str) -> bool:
    """Return whether `text` has the form of a run's id: a UUID of version 7."""
    return _RUN_ID.fullmatch(text) is not None


def is_graph_id(text: str) -> bool:
    """Return whether `text` has the form of a graph's id."""
    return _GRAPH_ID.fullmatch(text) is not None
