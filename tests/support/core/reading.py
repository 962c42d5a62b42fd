"""Documents of graphs in which one part is left to the test, and the faults that `read_graph` finds in them."""

from __future__ import annotations

from typing import Any

import pytest

from service.core.errors import Invalid
from service.core.validation import read_graph
from tests.support.core.strategies import TOOLS

GOOD: dict[str, Any] = {"start_node": "a", "nodes": {"a": "add", "b": {"tool": "detect"}}}
HOLDS: dict[str, Any] = {"key": "n", "op": "exists"}


def faults(document: Any) -> list[tuple[str, str]]:
    """Each fault's pointer and message."""
    with pytest.raises(Invalid) as refused:
        read_graph(document, TOOLS)
    return [(fault.pointer, fault.message) for fault in refused.value.faults]


def pointers(document: Any) -> list[str]:
    return [at for at, _ in faults(document)]


def node(node: Any) -> dict[str, Any]:
    return {**GOOD, "nodes": {"a": node}}


def edge(edge: Any) -> dict[str, Any]:
    return {**GOOD, "edges": {"a": edge}}


def condition(condition: Any) -> dict[str, Any]:
    return edge({"to": "b", "condition": condition})
