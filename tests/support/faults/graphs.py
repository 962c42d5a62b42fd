"""The graphs of the fault suite: each counts, so that a step lost or done twice shows in the state."""

from __future__ import annotations

from typing import Any

STEPS = 25


def _counting(tool: str, steps: int) -> dict[str, Any]:
    again = {"to": "count", "condition": {"key": "n", "op": "<", "value": steps}}
    return {"start_node": "count", "nodes": {"count": {"tool": tool}}, "edges": {"count": [again]}}


GRAPHS: dict[str, dict[str, Any]] = {
    "loop": _counting("count", STEPS),
    "thread": _counting("count_on_a_thread", STEPS),
    "signal": {
        "start_node": "count",
        "nodes": {"count": "count", "wait": {"signal": "go"}, "again": "count"},
        "edges": {"count": "wait", "wait": "again"},
    },
    "sleep": {
        "start_node": "count",
        "nodes": {"count": {"tool": "count", "retry": {"max_attempts": 3, "backoff_s": 0.1}}, "sleep": {"sleep": 0.2}},
        "edges": {
            "count": [{"to": "sleep", "condition": {"key": "n", "op": "<", "value": 4}}],
            "sleep": "count",
        },
    },
    "endless": _counting("count", 10**6),
}
"""By name, which is the beginning of the keys of their runs."""

FINAL_N = {"loop": STEPS, "thread": STEPS, "signal": 2, "sleep": 4}
"""What each run has counted to when it has completed."""
