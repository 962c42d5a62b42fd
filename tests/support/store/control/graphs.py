"""The graphs that `test_control_model` drives, twice: as documents, and as the model sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.store.carrying import graph

State = dict[str, Any]
STEPS_MAX = 4


@dataclass(frozen=True)
class Node:
    """What is to be known of a node: its kind, and where it leads to."""

    kind: str
    to: Callable[[State], str | None]
    seconds: float | None = None
    """How long it sleeps, or when it times out."""
    name: str = ""
    """Of its signal, or of the graph of its children."""
    into: str = ""
    each: str | None = None
    input: tuple[str, ...] = ()
    parallel: int = 10**9
    attempts: int = 1
    retried: frozenset[str] = frozenset()
    backoff_s: float = 0
    visits_max: int | None = None
    caught: tuple[str, str, str] | None = None
    """An error's type, where its edge leads to, and the key for its record."""


@dataclass(frozen=True)
class Graph:
    start: str
    nodes: dict[str, Node]
    steps_max: int = 10_000


def _to(target: str) -> Callable[[State], str | None]:
    return lambda _: target


def _if_go(*targets: str) -> Callable[[State], str | None]:
    return lambda state: state["go"] if state.get("go") in targets else None


def _edges_if_go(*targets: str) -> list[Any]:
    return [{"to": target, "condition": {"key": "go", "op": "==", "value": target}} for target in targets]


_LEAF = graph({"start_node": "l", "nodes": {"l": "add"}})

_MIDDLE = graph(
    {
        "start_node": "c",
        "nodes": {"c": "add", "leaf": {"graph": _LEAF.id, "into": "leaf", "input": ["item"]}},
        "edges": {"c": _edges_if_go("leaf")},
    }
)

_TOUR = graph(
    {
        "start_node": "work",
        "max_steps": STEPS_MAX,
        "nodes": {
            "work": {"tool": "add", "retry": {"max_attempts": 2, "backoff_s": 10, "on": ["tool_error"]}},
            "nap": {"sleep": 20, "max_visits": 2},
            "ask": {"signal": "ok", "into": "answer", "timeout_s": 30},
            "idle": {"signal": "go"},
            "all": {
                "graph": _MIDDLE.id,
                "for_each": "items",
                "into": "got",
                "max_parallel": 2,
                "timeout_s": 20,
                "retry": {"max_attempts": 2, "backoff_s": 5},
            },
        },
        "edges": {
            "work": [
                *_edges_if_go("nap", "ask", "idle", "all"),
                {"to": "work", "on_error": ["timeout"], "into": "why"},
            ],
            "nap": "work",
            "ask": ["work", {"to": "work", "on_error": ["timeout"], "into": "late"}],
            "idle": "work",
            "all": "work",
        },
    }
)

GRAPHS = {"leaf": _LEAF, "middle": _MIDDLE, "tour": _TOUR}

MODELS = {
    "leaf": Graph("l", {"l": Node("tool", _if_go())}),
    "middle": Graph(
        "c",
        {
            "c": Node("tool", _if_go("leaf")),
            "leaf": Node("graph", lambda _: None, name="leaf", into="leaf", input=("item",)),
        },
    ),
    "tour": Graph(
        "work",
        {
            "work": Node(
                "tool",
                _if_go("nap", "ask", "idle", "all"),
                attempts=2,
                retried=frozenset({"tool_error"}),
                backoff_s=10,
                caught=("timeout", "work", "why"),
            ),
            "nap": Node("sleep", _to("work"), seconds=20, visits_max=2),
            "ask": Node("signal", _to("work"), 30, "ok", "answer", caught=("timeout", "work", "late")),
            "idle": Node("signal", _to("work"), None, "go", "go"),
            "all": Node(
                "graph",
                _to("work"),
                seconds=20,
                name="middle",
                into="got",
                each="items",
                parallel=2,
                attempts=2,
                retried=frozenset({"child_failed", "timeout"}),
                backoff_s=5,
            ),
        },
        steps_max=STEPS_MAX,
    ),
}

WAYS: list[Any] = [
    *({"go": name} for name in ("nap", "ask", "idle", "all", "all", "leaf", "end")),
    *("tool_error", "timeout", "invalid_state"),
]
"""What a tool sets, or the type of its error."""
