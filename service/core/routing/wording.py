"""Describe conditions in words, for the labels of edges in the picture of a graph.

The page uses the same words; see `service/page/lib/conditions.js`.
"""

from __future__ import annotations

from typing import assert_never

from service.core import codec
from service.core.graph import AllOf, AnyOf, Comparison, Condition, Not, Op

VALUE_CHARS_MAX = 20
"""The number of characters to which a longer literal is cut."""

_WORDS = {
    Op.EQ: "=",
    Op.NE: "≠",
    Op.GE: "≥",
    Op.LE: "≤",
    Op.NOT_IN: "not in",
    Op.IS_TYPE: "has type",
}


def condition_text(condition: Condition) -> str:
    """Return a condition in words, such as `n < 5 and (ok = true or user exists)`."""
    match condition:
        case Comparison():
            return _comparison_text(condition)
        case AllOf():
            return " and ".join(map(_part_text, condition.parts))
        case AnyOf():
            return " or ".join(map(_part_text, condition.parts))
        case Not():
            return f"not ({condition_text(condition.part)})"
        case never:
            assert_never(never)


def _part_text(part: Condition) -> str:
    text = condition_text(part)
    return f"({text})" if isinstance(part, AllOf | AnyOf) else text


def _comparison_text(comparison: Comparison) -> str:
    key, op = comparison.key, comparison.op
    if op is Op.EXISTS:
        return f"{key} is missing" if comparison.value is False else f"{key} exists"
    if comparison.value_from is not None:
        right = comparison.value_from
    elif op is Op.IS_TYPE:
        right = str(comparison.value)
    else:
        right = _cut(codec.encode(comparison.value))
    return f"{key} {_WORDS.get(op, op.value)} {right}"


def _cut(text: str) -> str:
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[: VALUE_CHARS_MAX - 1]}…"
