"""Documents and ids for the tests of bad requests."""

from __future__ import annotations

from typing import Any

RUN = "0190b0a4-2c6f-7abc-8def-0123456789ab"


GRAPH = "0" * 32


NODES = {"a": "add"}


def graph(**changes: Any) -> dict[str, Any]:
    return {"start_node": "a", "nodes": NODES} | changes
