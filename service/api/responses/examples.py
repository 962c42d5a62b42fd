"""The examples of bodies in the OpenAPI document. A new server takes them as they are, from the first to the last.

They name the tools that every server has, and the graph that the first of them defines.
"""

from __future__ import annotations

from typing import Any

from service.core.validation import read_graph

_LOOP = {
    "name": "data-quality",
    "start_node": "profile",
    "nodes": {
        "profile": "profile_table",
        "detect": "detect_anomalies",
        "generate": {"tool": "generate_rules", "metadata": {}},
        "apply": "apply_rules",
    },
    "edges": {
        "profile": "detect",
        "detect": [{"to": "generate", "condition": {"key": "anomaly_count", "op": ">", "value": 2}}, {"to": None}],
        "generate": {"to": "apply"},
        "apply": "profile",
    },
}

GRAPH_ID = read_graph(_LOOP, ("profile_table", "detect_anomalies", "generate_rules", "apply_rules")).id
"""Of the first graph below: an id is derived from a graph's content, so that it is known here."""

_APPROVAL = {
    "name": "approval",
    "start_node": "profile",
    "nodes": {
        "profile": {
            "tool": "profile_table",
            "retry": {"max_attempts": 3, "backoff_s": 2, "on": ["tool_error", "timeout"]},
            "timeout_s": 30,
            "isolate": True,
        },
        "detect": "detect_anomalies",
        "approval": {"signal": "approval", "timeout_s": 86400},
        "night": {"sleep": {"until": "approval.not_before"}},
        "mend": {"graph": GRAPH_ID, "into": "mended", "input": ["source"]},
        "report": {"tool": "detect_anomalies", "max_visits": 1},
    },
    "edges": {
        "profile": ["detect", {"to": None, "on_error": True, "into": "profile_error"}],
        "detect": "approval",
        "approval": [
            {"to": "night", "condition": {"key": "approval.approved", "op": "==", "value": True}},
            {"to": "report", "on_error": ["timeout"]},
            {"to": None},
        ],
        "night": "mend",
    },
}

GRAPHS = {
    "data-quality": {"summary": "Tools in a loop", "value": _LOOP},
    "approval": {"summary": "An approval, a sleep, retries and a child run of the graph above", "value": _APPROVAL},
}


def _shown(**examples: tuple[str, Any]) -> dict[str, Any]:
    """A summary and a value for each of `examples`."""
    return {name: {"summary": summary, "value": value} for name, (summary, value) in examples.items()}


RUNS = _shown(
    run=(
        "A run with a state and a tag",
        {
            "graph_id": GRAPH_ID,
            "initial_state": {"source": {"kind": "dataset", "name": "planes"}, "threshold": 0},
            "tags": {"team": "data"},
        },
    ),
)

RESUMES = _shown(
    on=("Go on", {}),
    patch=("Try again with another state", {"patch": {"amount": 5, "note": None}}),
    further=("Beyond the limit that was reached", {"max_steps": 20_000}),
)

FORKS = _shown(
    last=("From where the run is", {}),
    rewound=("From an earlier step, with another threshold", {"step": 1, "patch": {"threshold": 10}}),
    elsewhere=("On another graph", {"step": 1, "graph_id": GRAPH_ID, "node": "detect"}),
)

BACKTESTS = _shown(
    runs=(
        "The newest failed runs of another graph",
        {"runs": {"graph_id": GRAPH_ID, "status": "failed", "limit": 100}},
    ),
)

SIGNALS = _shown(
    approval=("An approval", {"approved": True, "by": "kim", "not_before": "2026-01-01T22:00:00Z"}),
)

DEMOS = _shown(
    dataset=("The bundled data set", {"dataset": "planes", "threshold": 0}),
    rows=(
        "Rows of your own",
        {"rows": [{"name": "AIRBUS", "seats": "NA"}, {"name": "BOEING", "seats": "150"}]},
    ),
)

TABLES = _shown(csv=("A table", "name,seats\nAIRBUS,NA\nBOEING,150\n"))
