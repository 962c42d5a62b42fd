"""The four tools of the example. Each imports its step when it is called, so that a server starts without the steps.

No tool is pure, since each writes files to the run's folder, where clients can read them.
"""

from __future__ import annotations

from typing import Any

from service.core.tool import Context, JsonObject, Tool


def profile_table(state: dict[str, Any], context: Context) -> JsonObject:
    """Measure every column: the forms of its texts, their counts, and the spread of its numbers."""
    from service.example.steps import profile

    return profile.profile_table(state, context)


def detect_anomalies(state: dict[str, Any], context: Context) -> JsonObject:
    """Find what can be repaired and what only looks wrong. The last call of a run also writes the output."""
    from service.example.steps import detect

    return detect.detect_anomalies(state, context)


def generate_rules(state: dict[str, Any], context: Context) -> JsonObject:
    """Turn the findings of this iteration into rules, which the next node applies."""
    from service.example.steps import generate

    return generate.generate_rules(state, context)


def apply_rules(state: dict[str, Any], context: Context) -> JsonObject:
    """Repair the current table by the rules of this iteration, and list and count the changes."""
    from service.example.steps import apply

    return apply.apply_rules(state, context)


TOOLS = tuple(Tool.of(tool) for tool in (profile_table, detect_anomalies, generate_rules, apply_rules))
