"""The four tools of the example. Each imports its step when it is called: a server starts without them.

None is pure: each writes files into the run's folder, which clients can read.
"""

from __future__ import annotations

from typing import Any

from service.core.tool import Context, JsonObject, Tool


def profile_table(state: dict[str, Any], context: Context) -> JsonObject:
    """Measure every column: what its texts look like, how often, and the spread of its numbers."""
    from service.example.steps import profile

    return profile.profile_table(state, context)


def detect_anomalies(state: dict[str, Any], context: Context) -> JsonObject:
    """Find what can be mended, and what only looks wrong. The last call of a run also writes the output."""
    from service.example.steps import detect

    return detect.detect_anomalies(state, context)


def generate_rules(state: dict[str, Any], context: Context) -> JsonObject:
    """Make rules of the findings; the next node applies those of this iteration."""
    from service.example.steps import generate

    return generate.generate_rules(state, context)


def apply_rules(state: dict[str, Any], context: Context) -> JsonObject:
    """Mend the current table by the rules of this iteration; list and count what that changes."""
    from service.example.steps import apply

    return apply.apply_rules(state, context)


TOOLS = tuple(Tool.of(tool) for tool in (profile_table, detect_anomalies, generate_rules, apply_rules))
