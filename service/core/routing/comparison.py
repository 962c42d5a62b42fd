"""The operators of conditions: compare two JSON values within a bounded amount of work.

Conditions are evaluated on the engine's loop, where a comparison of large values would delay every run. The work is
counted, not timed, so the same graph and state give the same result on any machine.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

from service.core.codec import json_type
from service.core.errors import ConditionError
from service.core.graph import Op

COMPARISONS_MAX = 1_000_000
"""The maximum number of comparisons that the edges of a node may make at one step."""
CHARACTERS_AT_ONCE = 4096
"""The number of characters that count as one comparison when strings are compared or searched."""
ITEMS_AT_ONCE = 16
"""The number of items that count as one comparison when an array is searched for a scalar value."""


class WorkBudget:
    """The number of comparisons that one decision may still make."""

    def __init__(self) -> None:
        self._left = COMPARISONS_MAX

    def spend(self, count: int) -> None:
        """Count `count` comparisons. Raise ConditionError if fewer are left."""
        self._left -= count
        if self._left < 0:
            raise ConditionError(
                f"the conditions of this node make more than {COMPARISONS_MAX} comparisons:"
                " compare smaller parts of the state, or compare them in a tool"
            )


def compare(op: Op, left: Any, right: Any, work: WorkBudget) -> bool | None:
    """Return the result of `op`, or None if the types cannot be compared. Raise ConditionError if `work` is used up."""
    work.spend(1)
    return _OPERATORS[op](left, right, work)


def equal(left: Any, right: Any, work: WorkBudget) -> bool:
    """Return whether two JSON values are equal. At any depth, numbers compare by value and booleans are not numbers."""
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


def _ordered(ordering: Callable[[Any, Any], bool], left: Any, right: Any, work: WorkBudget) -> bool | None:
    if type(left) is type(right) is int:
        return ordering(left, right)
    kind = json_type(left)
    if kind not in ("number", "string") or kind != json_type(right):
        return None
    if kind == "string":
        work.spend(min(len(left), len(right)) // CHARACTERS_AT_ONCE)
    return ordering(left, right)


def _is_in(left: Any, right: Any, work: WorkBudget) -> bool | None:
    return _has(right, left, work) if isinstance(right, list) else None


def _is_not_in(left: Any, right: Any, work: WorkBudget) -> bool | None:
    found = _is_in(left, right, work)
    return None if found is None else not found


def _contains(left: Any, right: Any, work: WorkBudget) -> bool | None:
    if isinstance(left, str) and isinstance(right, str):
        work.spend(len(left) // CHARACTERS_AT_ONCE)
        return right in left
    return _has(left, right, work) if isinstance(left, list) else None


def _has(items: list[Any], value: Any, work: WorkBudget) -> bool:
    """Return whether an item of `items` equals `value`."""
    if isinstance(value, list | dict):
        return any(_equals(value, item, work) for item in items)
    # `list.index` is fast, but it treats a boolean as a number, so each result is checked.
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


def _equals(left: Any, right: Any, work: WorkBudget) -> bool:
    work.spend(1)
    return equal(left, right, work)


def _differs(left: Any, right: Any, work: WorkBudget) -> bool:
    return not equal(left, right, work)


_OPERATORS: dict[Op, Callable[[Any, Any, WorkBudget], bool | None]] = {
    Op.EQ: equal,
    Op.NE: _differs,
    Op.IN: _is_in,
    Op.NOT_IN: _is_not_in,
    Op.CONTAINS: _contains,
    Op.GT: partial(_ordered, operator.gt),
    Op.GE: partial(_ordered, operator.ge),
    Op.LT: partial(_ordered, operator.lt),
    Op.LE: partial(_ordered, operator.le),
}
