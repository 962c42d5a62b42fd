"""The example's graph as a client would post it, and the initial state of its runs."""

from __future__ import annotations

from typing import Any

from service.core.tool import JsonObject

ROUNDS_MAX = 12
"""The most iterations of a run. Four or five suffice, since no cell is repaired twice in the same way."""

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
    """Return the initial state of a run over `source`.

    `source` is `{"kind": "dataset", "name": …}`, or has the kind `"csv"` or `"rows"` and a `"file"` in the run's
    folder. `asked` may have `mode`, `allow`, `keep`, and `options` for a CSV file.
    """
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
    """Return why the run ends at `detect`, or None if it goes on.

    The function mirrors the condition of the edge from `detect` to `generate`. A run that has used up its
    iterations ends with `no_progress`, since anomalies are left.
    """
    if state["anomaly_count"] <= state["threshold"]:
        return "threshold_met"
    if state["mode"] != "mend" or not state["progress"] or state["iteration"] >= state["rounds_max"]:
        return "no_progress"
    return None
