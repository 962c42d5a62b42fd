"""Which error edge takes the failure of a node: asked by a run that fails, and of a run that would have failed."""

from __future__ import annotations

from typing import Any, NamedTuple

from service.core import codec
from service.core.comparison import Work
from service.core.conditions import Decision, Reason, decide, decoded_apart
from service.core.graph import Graph
from service.core.run import RunError
from service.core.state import Changes, State


class Caught(NamedTuple):
    """The step that a taken error edge leads to: its changes, the new state and the decision."""

    changes: Changes
    state: State
    decision: Decision


def caught(graph: Graph, state: State, error: RunError, state_bytes_max: int) -> Caught | None:
    """The step over the first error edge that takes `error`, if any; `state` is the last good one.

    It adds the error's record to the state. AttemptError where the state cannot hold that, or where an edge asks for a
    key that is not there.
    """
    asked: list[dict[str, Any]] = []
    work = Work()
    decoded: dict[str, Any] = {}
    for edge in graph.edges_on_error(error.node, error.type):
        changes = state.setting(edge.into or "", codec.encode(error._asdict()), state_bytes_max)
        there = state.apply(changes)
        with decoded_apart(decoded, edge.into) as seen:
            decision = decide([edge], there, work, seen)
        asked += decision.evaluated
        if decision.reason is not Reason.NONE_TRUE:
            return Caught(changes, there, Decision(edge.to, Reason.ON_ERROR, tuple(asked)))
    return None
