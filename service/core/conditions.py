"""Where a condition is evaluated: a pure question to a state, with a record of what it compared.

`decide` asks a node's edges in order; its Decision is stored with the step, so that anybody can read why
a run went where it went.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, assert_never

from service.core import codec, path
from service.core.codec import json_type
from service.core.comparison import Work, compare
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


def decide(
    edges: Sequence[Edge], state: State, work: Work | None = None, decoded: dict[str, Any] | None = None
) -> Decision:
    """The way on over the first edge whose condition is true of `state`.

    ConditionError where a condition asks for a key that is not there, or where all together compare more than is left
    of `work` (by default as much as one decision may). `decoded` keeps values of `state` by top-level key, for whoever
    asks more than once.
    """
    if not edges:
        return Decision(None, Reason.NO_EDGES)
    work = work or Work()
    asked = []
    decoded = {} if decoded is None else decoded
    for edge in edges:
        question = _Question(state, decoded, work)
        result = edge.condition is None or question.ask(edge.condition)
        asked.append(_record(edge, result, question))
        if result:
            reason = Reason.UNCONDITIONAL if edge.condition is None else Reason.CONDITION
            return Decision(edge.to, reason, tuple(asked))
    return Decision(None, Reason.NONE_TRUE, tuple(asked))


OPERANDS_BYTES_MAX = 64 * 2**20
"""Bytes of large operands that are put back into one decision; the first beyond it is the last."""
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


def complete(
    abridged: Sequence[dict[str, Any]], edges: Sequence[Edge], state: State, error: str | None = None
) -> list[dict[str, Any]]:
    """What `abridge` took from, whole again: `edges` are those that were asked, and `state` is what they were asked of.

    Of edges on error, `state` is the one before the step, and `error` the JSON text of the error's record, which each
    edge has seen at its own `into`. A decision that asked more than OPERANDS_BYTES_MAX keeps naming the rest in
    `omitted`.
    """
    evaluated = []
    decoded: dict[str, Any] = {}
    room = OPERANDS_BYTES_MAX
    # Edges are asked in their order, from the first.
    for kept, edge in zip(abridged, edges, strict=False):
        omitted = kept.pop("omitted", ())
        into = None if error is None else edge.into
        with decoded_apart(decoded, into) as seen:
            asked = _Question(state if into is None else state.with_text(into, error or ""), seen, Work())
            for place in omitted:
                if room > 0:
                    room -= codec.byte_length(codec.encode(asked.read(place)))
        if left := [place for place in omitted if place not in asked.operands]:
            kept["omitted"] = left
        if kept["condition"] == OMITTED and edge.condition is not None:
            kept["condition"] = edge.condition.document()
        evaluated.append({**kept, "operands": kept["operands"] | asked.operands})
    return evaluated


@contextmanager
def decoded_apart(decoded: dict[str, Any], key: str | None) -> Iterator[dict[str, Any]]:
    """The values that `decoded` keeps, but for that at `key`; those that are decoded meanwhile are added to it."""
    seen = {other: value for other, value in decoded.items() if other != key}
    yield seen
    decoded |= {other: value for other, value in seen.items() if other != key}


def _is_large(value: Any, bytes_max: int, sizes: dict[int, bool]) -> bool:
    if not isinstance(value, str | list | dict):
        return False
    if id(value) not in sizes:
        sizes[id(value)] = codec.is_longer(value, bytes_max)
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
    work: Work
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
            self.work.spend(1)
            return (self._look_up(comparison.key)[0] is not path.MISSING) is bool(comparison.value)
        left = self.read(comparison.key)
        if comparison.op is Op.IS_TYPE:
            return bool(json_type(left) == comparison.value)
        right = comparison.value if comparison.value_from is None else self.read(comparison.value_from)
        if comparison.value_from is not None and self.state.is_same(comparison.key, comparison.value_from):
            right = left  # Equal without a look at what is in them, which may be large.
        result = compare(comparison.op, left, right, self.work)
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
