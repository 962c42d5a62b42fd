"""Backtest of routing: where another graph's edges would have led a run from a state that it had. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from service.core import codec
from service.core.conditions import Decision, Reason, decide
from service.core.errors import ConditionError
from service.core.graph import Graph
from service.core.state import State

_UNASKED = frozenset({Reason.ON_ERROR, Reason.PATCH})
"""Steps that no ordinary edge has led on."""
_OPERANDS_SHOWN_MAX = 5


@dataclass(frozen=True, slots=True)
class Routed:
    """A committed step, as far as it matters here."""

    step: int
    node: str | None
    went: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Detour:
    """A step after which the graph asked would have led elsewhere."""

    routed: Routed
    decision: Decision | ConditionError

    @property
    def would_go(self) -> str | None:
        return None if isinstance(self.decision, ConditionError) else self.decision.to

    def because(self) -> str:
        """In a few words, why it would have gone there."""
        if isinstance(self.decision, ConditionError):
            return f"{self.decision.type}: {self.decision}"
        asked = self.decision.evaluated
        match self.decision.reason:
            case Reason.NO_EDGES:
                return "the node has no edges"
            case Reason.NONE_TRUE:
                return f"none of {len(asked)} edges is true{_with_operands(asked)}"
            case Reason.CONDITION:
                return f"edge {len(asked)} is the first that is true{_with_operands(asked[-1:])}"
            case _:
                return f"edge {len(asked)} has no condition{_with_operands(asked)}"


def is_asked(graph: Graph, routed: Routed) -> bool:
    """Whether `graph` has something to say to the step."""
    return routed.node in graph.nodes and routed.reason not in _UNASKED


def detour(graph: Graph, routed: Routed, state: State) -> Detour | None:
    """Where the edges of `graph`, asked of the `state` after the step, lead elsewhere than the step went."""
    if routed.node is None:
        return None
    try:
        decision = decide(graph.edges_from(routed.node), state)
    except ConditionError as error:
        return Detour(routed, error)
    return None if decision.to == routed.went else Detour(routed, decision)


def _with_operands(asked: tuple[dict[str, object], ...]) -> str:
    """The values that the edges were asked of, each once."""
    values: dict[str, object] = {}
    for record in asked:
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
