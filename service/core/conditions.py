"""Where a condition is evaluated: a pure question to a state, with a record of what it compared.

`decide` asks a node's edges in order; its Decision is stored with the step, so that anybody can read why
a run went where it went.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, assert_never

from service.core import codec, path
from service.core.codec import json_type
from service.core.errors import ConditionError
from service.core.graph import AllOf, AnyOf, Comparison, Condition, Edge, Not, Op
from service.core.state import State

TYPE_MISMATCH = "type_mismatch"


class Reason(StrEnum):
    """Why a run went where it went."""

    CONDITION = "condition"
    UNCONDITIONAL = "unconditional"
    NO_EDGES = "no_edges"
    NONE_TRUE = "none_true"
    ON_ERROR = "on_error"
    PATCH = "patch"


class Decision(NamedTuple):
    """Which edges were asked, with what values, and which was taken."""

    to: str | None
    reason: Reason
    evaluated: tuple[dict[str, Any], ...] = ()
    """One `{"to", "condition", "result", "operands", "note"?}` for each edge that was asked."""


def decide(edges: Sequence[Edge], state: State) -> Decision:
    """The way on over the first edge whose condition is true of `state`.

    ConditionError where a condition asks for a key that is not there.
    """
    if not edges:
        return Decision(None, Reason.NO_EDGES)
    asked = []
    decoded: dict[str, Any] = {}
    for edge in edges:
        question = _Question(state, decoded)
        result = edge.condition is None or question.ask(edge.condition)
        asked.append(_record(edge, result, question))
        if result:
            reason = Reason.UNCONDITIONAL if edge.condition is None else Reason.CONDITION
            return Decision(edge.to, reason, tuple(asked))
    return Decision(None, Reason.NONE_TRUE, tuple(asked))


OMITTED = {"omitted": True}
"""In place of a condition that is not stored with a step."""


def abridge(evaluated: Sequence[dict[str, Any]], bytes_max: int) -> tuple[list[dict[str, Any]], bool]:
    """`evaluated` without what takes more than `bytes_max` bytes, and whether there was any such thing.

    `omitted` names the paths of large operands, OMITTED stands for a large condition. An operand is the
    state's own and a condition the graph's: a step must not cost more because an edge asked something large.
    """
    abridged = []
    sizes: dict[int, bool] = {}  # By identity: many edges may ask the same value.
    for record in evaluated:
        kept = dict(record)
        if _is_large(record["condition"], bytes_max, sizes):
            kept["condition"] = OMITTED
        if large := [place for place, value in record["operands"].items() if _is_large(value, bytes_max, sizes)]:
            kept["omitted"] = large
            kept["operands"] = {place: value for place, value in record["operands"].items() if place not in large}
        abridged.append(kept)
    return abridged, any(sizes.values())


def complete(abridged: Sequence[dict[str, Any]], edges: Sequence[Edge], state: State) -> list[dict[str, Any]]:
    """What `abridge` took from, whole again: `edges` are the node's and `state` the one that they were asked of."""
    evaluated = []
    decoded: dict[str, Any] = {}
    # Edges are asked in their order, from the first.
    for kept, edge in zip(abridged, edges, strict=False):
        asked = _Question(state, decoded)
        for place in kept.pop("omitted", ()):
            asked.read(place)
        if kept["condition"] == OMITTED and edge.condition is not None:
            kept["condition"] = edge.condition.document()
        evaluated.append({**kept, "operands": kept["operands"] | asked.operands})
    return evaluated


def _is_large(value: Any, bytes_max: int, sizes: dict[int, bool]) -> bool:
    if not isinstance(value, str | list | dict):
        return False
    if id(value) not in sizes:
        sizes[id(value)] = codec.byte_length(codec.encode(value)) > bytes_max
    return sizes[id(value)]


def _record(edge: Edge, result: bool, question: _Question) -> dict[str, Any]:
    record = {
        "to": edge.to,
        "condition": edge.condition and edge.condition.document(),
        "result": result,
        "operands": question.operands,
    }
    if question.mismatched:
        record["note"] = TYPE_MISMATCH
    return record


@dataclass(slots=True)
class _Question:
    """One edge's condition put to a state, and what was read on the way to the answer."""

    state: State
    decoded: dict[str, Any]
    """Values by top-level key, each decoded once for all the edges of a node."""
    operands: dict[str, Any] = field(default_factory=dict)
    mismatched: bool = False

    def ask(self, condition: Condition) -> bool:
        match condition:
            case Comparison():
                return self._compare(condition)
            case AllOf(parts=parts):
                return all(self.ask(part) for part in parts)
            case AnyOf(parts=parts):
                return any(self.ask(part) for part in parts)
            case Not(part=part):
                return not self.ask(part)
            case _:
                assert_never(condition)

    def _compare(self, comparison: Comparison) -> bool:
        if comparison.op is Op.EXISTS:
            return (self._look_up(comparison.key)[0] is not path.MISSING) is bool(comparison.value)
        left = self.read(comparison.key)
        if comparison.op is Op.IS_TYPE:
            return bool(json_type(left) == comparison.value)
        right = comparison.value if comparison.value_from is None else self.read(comparison.value_from)
        result = _COMPARE[comparison.op](left, right)
        self.mismatched |= result is None
        return bool(result)

    def read(self, place: str) -> Any:
        value, there = self._look_up(place)
        if value is path.MISSING:
            raise ConditionError(f"the state has nothing at {place!r:.200}; there is {there}")
        return value

    def _look_up(self, place: str) -> tuple[Any, str]:
        value, there = self.state.look_up(place, self.decoded)
        if value is not path.MISSING:
            self.operands[place] = value
        return value, there


def equal(left: Any, right: Any) -> bool:
    """Equality of JSON values: numbers by value, and a boolean is no number, at any depth."""
    if json_type(left) != json_type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(item, right[key]) for key, item in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right)


# Each comparison answers True, False, or None where the types do not compare (false, with a note).


def _ordering(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool | None]:
    def ordered(left: Any, right: Any) -> bool | None:
        kind = json_type(left)
        if kind not in ("number", "string") or kind != json_type(right):
            return None
        return compare(left, right)

    return ordered


def _in(left: Any, right: Any) -> bool | None:
    return any(equal(left, item) for item in right) if isinstance(right, list) else None


def _not_in(left: Any, right: Any) -> bool | None:
    found = _in(left, right)
    return None if found is None else not found


def _contains(left: Any, right: Any) -> bool | None:
    if isinstance(left, str) and isinstance(right, str):
        return right in left
    return any(equal(item, right) for item in left) if isinstance(left, list) else None


def _not_equal(left: Any, right: Any) -> bool:
    return not equal(left, right)


_COMPARE: dict[Op, Callable[[Any, Any], bool | None]] = {
    Op.EQ: equal,
    Op.NE: _not_equal,
    Op.GT: _ordering(operator.gt),
    Op.GE: _ordering(operator.ge),
    Op.LT: _ordering(operator.lt),
    Op.LE: _ordering(operator.le),
    Op.IN: _in,
    Op.NOT_IN: _not_in,
    Op.CONTAINS: _contains,
}
