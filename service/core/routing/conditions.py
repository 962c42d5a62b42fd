"""Evaluate the conditions of edges against a state, and record the values that they compared.

`decide` evaluates a node's edges in order. Its Decision is stored with the step and explains where the run went next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, assert_never

from service.core import codec
from service.core.codec import json_type
from service.core.errors import ConditionError
from service.core.graph import AllOf, AnyOf, Comparison, Condition, Edge, Not, Op
from service.core.routing.comparison import WorkBudget, compare
from service.core.state import State
from service.core.syntax import path

TYPE_MISMATCH = "type_mismatch"


class Reason(StrEnum):
    """Why a step led to the next node."""

    CONDITION = "condition"
    UNCONDITIONAL = "unconditional"
    NO_EDGES = "no_edges"
    NONE_TRUE = "none_true"
    ON_ERROR = "on_error"
    PATCH = "patch"


class Decision(NamedTuple):
    """The edges that were evaluated, the values that they read, and the node to which the taken edge leads."""

    to: str | None
    """None if no edge is taken."""
    reason: Reason
    evaluated: tuple[dict[str, Any], ...] = ()
    """One `{"to", "condition", "result", "operands", "note"?}` for each evaluated edge."""


def decide(
    edges: Sequence[Edge], state: State, work: WorkBudget | None = None, decoded: dict[str, Any] | None = None
) -> Decision:
    """Choose the first edge whose condition is true for `state`.

    Raise ConditionError if a condition reads a missing key, or if the conditions need more comparisons than `work` has
    left (by default, the budget of one decision). `decoded` caches values of `state` by top-level key across calls.
    """
    if not edges:
        return Decision(None, Reason.NO_EDGES)
    work = work or WorkBudget()
    evaluated = []
    decoded = {} if decoded is None else decoded
    for edge in edges:
        evaluation = _Evaluation(state, decoded, work)
        result = edge.condition is None or evaluation.evaluate(edge.condition)
        evaluated.append(_record(edge, result, evaluation))
        if result:
            reason = Reason.UNCONDITIONAL if edge.condition is None else Reason.CONDITION
            return Decision(edge.to, reason, tuple(evaluated))
    return Decision(None, Reason.NONE_TRUE, tuple(evaluated))


OPERANDS_BYTES_MAX = 64 * 2**20
"""`complete` restores no more operands once those that it has restored have this many bytes."""
OMITTED = {"omitted": True}
"""Stands for a condition that is too large to be stored with a step."""


def abridge(evaluated: Sequence[dict[str, Any]], bytes_max: int) -> tuple[list[dict[str, Any]], bool]:
    """Remove operands and conditions larger than `bytes_max` bytes; return the rest and whether any were removed.

    The key `omitted` of a record lists the paths of its removed operands, and OMITTED replaces a removed condition. The
    state has the operands and the graph has the conditions, so a step does not store them again.
    """
    abridged = []
    sizes: dict[int, bool] = {}  # Whether a value is large, by its `id`: many edges may read the same value.
    for record in evaluated:
        kept = dict(record)
        if _is_large(record["condition"], bytes_max, sizes):
            kept["condition"] = OMITTED
        if large := [place for place, value in record["operands"].items() if _is_large(value, bytes_max, sizes)]:
            kept["omitted"] = large
            kept["operands"] = {place: value for place, value in record["operands"].items() if place not in large}
        abridged.append(kept)
    return abridged, any(sizes.values())


def complete(
    abridged: Sequence[dict[str, Any]], edges: Sequence[Edge], state: State, error: str | None = None
) -> list[dict[str, Any]]:
    """Restore what `abridge` removed. `edges` are the edges of the node, and `state` is the state that they read.

    For error edges, `state` is the state before the step, and `error` is the JSON text of the error's record, which
    each edge reads at its own `into`. Operands beyond OPERANDS_BYTES_MAX stay listed in `omitted`.
    """
    evaluated = []
    decoded: dict[str, Any] = {}
    room = OPERANDS_BYTES_MAX
    # Edges are evaluated in order until one is taken, so the last ones may have no record.
    for kept, edge in zip(abridged, edges, strict=False):
        omitted = kept.pop("omitted", ())
        into = None if error is None else edge.into
        with decoded_without(decoded, into) as seen:
            evaluation = _Evaluation(state if into is None else state.with_text(into, error or ""), seen, WorkBudget())
            for place in omitted:
                if room > 0:
                    room -= codec.byte_length(codec.encode(evaluation.read(place)))
        if left := [place for place in omitted if place not in evaluation.operands]:
            kept["omitted"] = left
        if kept["condition"] == OMITTED and edge.condition is not None:
            kept["condition"] = edge.condition_document
        evaluated.append({**kept, "operands": kept["operands"] | evaluation.operands})
    return evaluated


@contextmanager
def decoded_without(decoded: dict[str, Any], key: str | None) -> Iterator[dict[str, Any]]:
    """Yield a copy of the cache `decoded` without `key`. At the end, add the copy's other values to `decoded`.

    An error edge reads the error's record at `key`, where another edge may read another value.
    """
    seen = {other: value for other, value in decoded.items() if other != key}
    yield seen
    decoded |= {other: value for other, value in seen.items() if other != key}


def _is_large(value: Any, bytes_max: int, sizes: dict[int, bool]) -> bool:
    if not isinstance(value, str | list | dict):
        return False
    if id(value) not in sizes:
        sizes[id(value)] = codec.is_longer(value, bytes_max)
    return sizes[id(value)]


def _record(edge: Edge, result: bool, evaluation: _Evaluation) -> dict[str, Any]:
    record = {
        "to": edge.to,
        "condition": edge.condition_document,
        "result": result,
        "operands": evaluation.operands,
    }
    if evaluation.mismatched:
        record["note"] = TYPE_MISMATCH
    return record


@dataclass(slots=True)
class _Evaluation:
    """The evaluation of one edge's condition, and the values that it read."""

    state: State
    decoded: dict[str, Any]
    """Decoded values by top-level key, shared by the edges of a node."""
    work: WorkBudget
    operands: dict[str, Any] = field(default_factory=dict)
    mismatched: bool = False

    def evaluate(self, condition: Condition) -> bool:
        match condition:
            case Comparison():
                return self._compare(condition)
            case AllOf(parts=parts):
                return all(self.evaluate(part) for part in parts)
            case AnyOf(parts=parts):
                return any(self.evaluate(part) for part in parts)
            case Not(part=part):
                return not self.evaluate(part)
            case _:
                assert_never(condition)

    def _compare(self, comparison: Comparison) -> bool:
        if comparison.op is Op.EXISTS:
            self.work.spend(1)
            return self._is_there(comparison.key) is bool(comparison.value)
        left = self.read(comparison.key)
        if comparison.op is Op.IS_TYPE:
            return bool(json_type(left) == comparison.value)
        right = comparison.value if comparison.value_from is None else self.read(comparison.value_from)
        if comparison.value_from is not None and self.state.has_same_text(comparison.key, comparison.value_from):
            right = left  # The texts are equal, so the values, which may be large, need no comparison.
        result = compare(comparison.op, left, right, self.work)
        self.mismatched |= result is None
        return bool(result)

    def read(self, place: str) -> Any:
        value, there = self.state.look_up(place, self.decoded)
        if value is path.MISSING:
            raise ConditionError(f"the state has nothing at {place!r:.200}; there is {there}")
        self.operands[place] = value
        return value

    def _is_there(self, place: str) -> bool:
        value, _ = self.state.look_up(place, self.decoded)
        if value is path.MISSING:
            return False
        self.operands[place] = value
        return True
