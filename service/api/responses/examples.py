"""Examples of request bodies in the OpenAPI document. A new server accepts all of them, in this order.

They use the built-in tools, and the graph that the first example defines.
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
"""The id of the first graph. It is known here because ids are derived from the graph's content."""

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
    """Return `examples` in OpenAPI's form, from pairs of a summary and a value."""
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

LIMITS = _shown(
    at_once=("Five at once", {"max": 5}),
    per_minute=("A hundred in any minute", {"max": 100, "per_s": 60}),
)

SCHEDULES = _shown(
    nightly=(
        "Every night at half past two, by the latest graph of a name",
        {"graph": "data-quality", "cron": "30 2 * * *", "timezone": "Europe/Berlin", "overlap": "skip"},
    ),
    often=(
        "Every ten minutes, on one graph for good",
        {"graph_id": GRAPH_ID, "every_s": 600, "initial_state": {"threshold": 0}, "tags": {"team": "data"}},
    ),
)

SESSIONS = _shown(token=("The token of the server", {"token": "TOKEN"}))

ACTIONS = _shown(
    dry=(
        "Count the paused runs with a tag",
        {"action": "cancel", "where": {"status": "paused", "tag": "team:data"}, "dry_run": True},
    ),
    resume=(
        "Resume the failed runs of a graph",
        {"action": "resume", "where": {"status": ["failed"], "graph": "data-quality"}, "limit": 100},
    ),
)

PRUNES = _shown(
    month=("Runs that ended 30 days ago", {"older_than_s": 2_592_000}),
    dry=("Count the failed runs of a graph", {"older_than_s": 0, "status": "failed", "graph": "g", "dry_run": True}),
)

RESUMES = _shown(
    on=("Continue", {}),
    patch=("Try again with a changed state", {"patch": {"amount": 5, "note": None}}),
    further=("Raise the limit of steps", {"max_steps": 20_000}),
)

FORKS = _shown(
    last=("From the last step", {}),
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
