"""Backtest routing: find where the edges of another graph would have led a run after each of its steps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from service.core import codec
from service.core.errors import AttemptError, ConditionError
from service.core.graph import Graph
from service.core.routing.catching import catch_error
from service.core.routing.conditions import Decision, Reason, decide
from service.core.run import RunError
from service.core.state import State

_UNASKED = frozenset({Reason.ON_ERROR, Reason.PATCH})
"""The reasons of steps whose next node was not chosen by ordinary edges."""
_OPERANDS_SHOWN_MAX = 5


@dataclass(frozen=True, slots=True)
class Routed:
    """A committed step and the node that followed it."""

    step: int
    node: str | None
    """The node that the step executed. None: the step is a patch."""
    went: str | None
    """The next node. None: the run ended."""
    reason: str
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Detour:
    """A step after which the tested graph would have led elsewhere."""

    routed: Routed
    decision: Decision | None
    """None if the run would have failed."""
    error: AttemptError | None = None
    """The error of an error edge, or else that of an ordinary edge. None if no edge raised an error."""

    @property
    def would_go(self) -> str | None:
        return None if self.decision is None else self.decision.to

    def because(self) -> str:
        """Return the reason for the detour in a few words."""
        failed = "" if self.error is None else f"{self.error.type}: {self.error}"
        if self.decision is None:
            return failed
        evaluated = self.decision.evaluated
        match self.decision.reason:
            case Reason.ON_ERROR:
                return f"{failed}; an error edge catches it"
            case Reason.NO_EDGES:
                return "the node has no edges"
            case Reason.NONE_TRUE:
                return f"none of {len(evaluated)} edges is true{_with_operands(evaluated)}"
            case Reason.CONDITION:
                return f"edge {len(evaluated)} is the first true edge{_with_operands(evaluated[-1:])}"
            case _:
                return f"edge {len(evaluated)} has no condition{_with_operands(evaluated)}"


def applies_to(graph: Graph, routed: Routed) -> bool:
    """Return whether the edges of `graph` can be compared with the step."""
    return routed.node in graph.nodes and routed.reason not in _UNASKED


def detour(
    graph: Graph,
    routed: Routed,
    state: State,
    before: Callable[[], State] | None = None,
    state_bytes_max: int = sys.maxsize,
) -> Detour | None:
    """Return a Detour if `graph` leads from `state`, the state after the step, to another node. Return None otherwise.

    A condition that cannot be evaluated fails the node, as in a run: the step is undone, and the error edges are
    evaluated with the state before the step, which `before` returns (by default, with `state`).
    """
    if routed.node is None:
        return None
    error: AttemptError | None = None
    try:
        decision = decide(graph.edges_from(routed.node), state)
    except ConditionError as raised:
        error = raised
        record = RunError(raised.type, str(raised), routed.node, routed.step, routed.attempt)
        try:
            found = catch_error(graph, state if before is None else before(), record, state_bytes_max)
        except AttemptError as broken:
            return Detour(routed, None, broken)
        if found is None:
            return Detour(routed, None, error)
        decision = found.decision
    return None if decision.to == routed.went else Detour(routed, decision, error)


def _with_operands(evaluated: tuple[dict[str, object], ...]) -> str:
    """Return the first values that the edges read as the end of a sentence, which is empty if they read none."""
    values: dict[str, object] = {}
    for record in evaluated:
        operands = record["operands"]
        if isinstance(operands, dict):
            values |= operands
    if not values:
        return ""
    shown = [
        f"{place:.100} = {codec.encode(value):.100}" for place, value in list(values.items())[:_OPERANDS_SHOWN_MAX]
    ]
    more = "" if len(values) <= _OPERANDS_SHOWN_MAX else ", …"
    return f", with {', '.join(shown)}{more}"
