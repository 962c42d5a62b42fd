"""The example's graph as a client would post it, and the state that its run starts with."""

from __future__ import annotations

from typing import Any

from service.core.tool import JsonObject

ROUNDS_MAX = 12
"""Four or five rounds suffice, since no cell is mended twice in one way; this bounds them anyhow."""

MODES = ("report", "mend")
ALLOWED = ("fill", "outliers", "duplicates", "text_in_numbers")

GRAPH: JsonObject = {
    "name": "data-quality",
    "start_node": "profile",
    "nodes": {
        "profile": {"tool": "profile_table"},
        "detect": {"tool": "detect_anomalies"},
        "generate": {"tool": "generate_rules"},
        "apply": {"tool": "apply_rules"},
    },
    "edges": {
        "profile": "detect",
        "detect": [
            {
                "to": "generate",
                "condition": {
                    "all": [
                        {"key": "anomaly_count", "op": ">", "value_from": "threshold"},
                        {"key": "mode", "op": "==", "value": "mend"},
                        {"key": "progress", "op": "==", "value": True},
                        {"key": "iteration", "op": "<", "value_from": "rounds_max"},
                    ]
                },
            },
            {"to": None},
        ],
        "generate": "apply",
        "apply": "profile",
    },
}


def initial_state(source: JsonObject, threshold: float, asked: JsonObject | None = None) -> JsonObject:
    """The state of a run over `source`: `{"kind": "dataset", "name": …}`, or `"csv"` or `"rows"` with a
    `"file"` that lies in the run's folder. `asked` may hold `mode`, `allow`, `keep`, and `options` for a CSV file."""
    return {
        "source": source,
        "options": {},
        "threshold": threshold,
        "mode": "mend",
        "allow": [],
        "keep": [],
        "rounds_max": ROUNDS_MAX,
        "iteration": 0,
        "progress": True,
        "change_count": 0,
        "removed_count": 0,
        "history": [],
        "rules": [],
    } | (asked or {})


def stop_reason(state: dict[str, Any]) -> str | None:
    """Why the run ends at `detect`, or None where it goes on: in words what the edge above asks.

    Rounds used up count as no progress: no further round is made, and anomalies are left.
    """
    if state["anomaly_count"] <= state["threshold"]:
        return "threshold_met"
    if state["mode"] != "mend" or not state["progress"] or state["iteration"] >= state["rounds_max"]:
        return "no_progress"
    return None
