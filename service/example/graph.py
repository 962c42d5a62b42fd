"""The example's graph as a client would post it, and the state that its run starts with."""

from __future__ import annotations

from typing import Any

from service.core.tool import JsonObject

ROUNDS_MAX = 12
"""Three or four rounds suffice, since each takes values away or fills gaps; this bounds it anyhow."""

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


def initial_state(source: JsonObject, threshold: float) -> JsonObject:
    """The state of a run over `source`: `{"kind": "dataset", "name": …}`, or `"csv"` or `"rows"` with a
    `"file"` that lies in the run's folder."""
    return {
        "source": source,
        "threshold": threshold,
        "rounds_max": ROUNDS_MAX,
        "iteration": 0,
        "progress": True,
        "history": [],
        "rules": [],
    }


def stop_reason(state: dict[str, Any]) -> str | None:
    """Why the run ends at `detect`, or None where it goes on: in words what the edge above asks.

    Rounds used up count as no progress: no further round is made, and anomalies are left.
    """
    if state["anomaly_count"] <= state["threshold"]:
        return "threshold_met"
    if not state["progress"] or state["iteration"] >= state["rounds_max"]:
        return "no_progress"
    return None
