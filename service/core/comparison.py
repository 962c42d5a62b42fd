"""The operators of conditions: how two JSON values compare, within a bounded amount of work.

Conditions are evaluated on the engine's loop, so that one which compares large values would hold up every run. The work
is counted and not timed: the same graph and state come to the same end on any machine.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from service.core.codec import json_type
from service.core.errors import ConditionError
from service.core.graph import Op

COMPARISONS_MAX = 1_000_000
"""Values that the edges of a node may compare with one another at one step."""
CHARACTERS_AT_ONCE = 4096
"""Characters of two strings that are compared as fast as two small values are."""
ITEMS_AT_ONCE = 16
"""Items of an array that are searched for a string or a number as fast as two small values are compared."""


class Work:
    """The comparisons that are left for one decision."""

    def __init__(self) -> None:
        self._left = COMPARISONS_MAX

    def spend(self, count: int) -> None:
        """Count `count` comparisons. ConditionError where so many are not left."""
        self._left -= count
        if self._left < 0:
            raise ConditionError(
                f"the conditions of this node compare more than {COMPARISONS_MAX} values:"
                " compare smaller parts of the state, or let a tool do it"
            )


def compare(op: Op, left: Any, right: Any, work: Work) -> bool | None:
    """What the operator answers, or None where the types do not compare. ConditionError where it is too much work."""
    work.spend(1)
    match op:
        case Op.EQ:
            return equal(left, right, work)
        case Op.NE:
            return not equal(left, right, work)
        case Op.IN:
            return _has(right, left, work) if isinstance(right, list) else None
        case Op.NOT_IN:
            return not _has(right, left, work) if isinstance(right, list) else None
        case Op.CONTAINS:
            return _contains(left, right, work)
        case _:
            return _ordered(_ORDERINGS[op], left, right, work)


def equal(left: Any, right: Any, work: Work) -> bool:
    """Equality of JSON values: numbers by value, and a boolean is no number, at any depth."""
    if left is right:
        return True
    if json_type(left) != json_type(right):
        return False
    if isinstance(left, dict):
        if left.keys() != right.keys():
            return False
        work.spend(len(left))
        return all(equal(item, right[key], work) for key, item in left.items())
    if isinstance(left, list):
        if len(left) != len(right):
            return False
        work.spend(len(left))
        return all(equal(item, other, work) for item, other in zip(left, right, strict=True))
    if isinstance(left, str) and len(left) == len(right):
        work.spend(len(left) // CHARACTERS_AT_ONCE)
    return bool(left == right)


_ORDERINGS: dict[Op, Callable[[Any, Any], bool]] = {
    Op.GT: operator.gt,
    Op.GE: operator.ge,
    Op.LT: operator.lt,
    Op.LE: operator.le,
}


def _ordered(ordering: Callable[[Any, Any], bool], left: Any, right: Any, work: Work) -> bool | None:
    kind = json_type(left)
    if kind not in ("number", "string") or kind != json_type(right):
        return None
    if kind == "string":
        work.spend(min(len(left), len(right)) // CHARACTERS_AT_ONCE)
    return ordering(left, right)


def _contains(left: Any, right: Any, work: Work) -> bool | None:
    if isinstance(left, str) and isinstance(right, str):
        work.spend(len(left) // CHARACTERS_AT_ONCE)
        return right in left
    return _has(left, right, work) if isinstance(left, list) else None


def _has(items: list[Any], value: Any, work: Work) -> bool:
    """Whether an item of `items` equals `value`."""
    if isinstance(value, list | dict):
        return any(_equals(value, item, work) for item in items)
    # Python finds every equal scalar, and fast; it also takes a boolean for a number, so that each find is checked.
    work.spend(len(items) // ITEMS_AT_ONCE)
    start = 0
    while True:
        try:
            found = items.index(value, start)
        except ValueError:
            return False
        if _equals(value, items[found], work):
            return True
        start = found + 1


def _equals(left: Any, right: Any, work: Work) -> bool:
    work.spend(1)
    return equal(left, right, work)
