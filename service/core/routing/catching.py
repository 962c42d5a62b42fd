"""Find the error edge that catches the failure of a node, in a run and in a backtest."""

from __future__ import annotations

from typing import Any, NamedTuple

from service.core import codec
from service.core.graph import Graph
from service.core.routing.comparison import WorkBudget
from service.core.routing.conditions import Decision, Reason, decide, decoded_without
from service.core.run import RunError
from service.core.state import Changes, State


class Caught(NamedTuple):
    """The step along an error edge: its changes, the new state and the decision."""

    changes: Changes
    state: State
    decision: Decision


def catch_error(graph: Graph, state: State, error: RunError, state_bytes_max: int) -> Caught | None:
    """Return the step along the first error edge that catches `error`, or None if no edge catches it.

    `state` is the state before the failed step. The step along the edge adds the error's record to it. Raise
    AttemptError if the state cannot hold the record, or if a condition cannot be evaluated.
    """
    evaluated: list[dict[str, Any]] = []
    work = WorkBudget()
    decoded: dict[str, Any] = {}
    for edge in graph.edges_on_error(error.node, error.type):
        changes = state.changes_setting(edge.into or "", codec.encode(error._asdict()), state_bytes_max)
        there = state.apply(changes)
        with decoded_without(decoded, edge.into) as seen:
            decision = decide([edge], there, work, seen)
        evaluated += decision.evaluated
        if decision.reason is not Reason.NONE_TRUE:
            return Caught(changes, there, Decision(edge.to, Reason.ON_ERROR, tuple(evaluated)))
    return None
