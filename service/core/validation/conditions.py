"""Read and validate the conditions of edges."""

from __future__ import annotations

from typing import Any

from service.core.codec import JSON_TYPES
from service.core.graph import CONDITION_DEPTH_MAX, AllOf, AnyOf, Comparison, Condition, Not, Op
from service.core.validation.faults import Faults, Place
from service.core.validation.spelling import closest_op

_COMBINATIONS = ("all", "any", "not")
_SHAPE = 'an object such as {"key": PATH, "op": "==", "value": JSON}, or one with `all`, `any` or `not`'
_OPS = [op.value for op in Op]
STAND_IN = Comparison(key="stand-in", op=Op.EXISTS, value=True)
"""Replaces a condition that has a fault, so that reading goes on. The graph is discarded in the end."""


def read_condition(condition: Any, at: Place, faults: Faults, depth: int = 1) -> Condition:
    """Read the condition at the place `at` and add its faults to `faults`."""
    if depth > CONDITION_DEPTH_MAX:
        faults.add(at, f"conditions nest at most {CONDITION_DEPTH_MAX} deep")
        return STAND_IN
    kind = next((key for key in _COMBINATIONS if isinstance(condition, dict) and key in condition), None)
    if kind is None:
        return _comparison(condition, at, faults)
    faults.is_object(condition, at, f"a condition with `{kind}`", (kind,))
    if kind == "not":
        return Not(part=read_condition(condition["not"], (*at, "not"), faults, depth + 1))
    parts = _parts(condition[kind], (*at, kind), faults, depth + 1)
    return AllOf(parts=parts) if kind == "all" else AnyOf(parts=parts)


def _parts(parts: Any, at: Place, faults: Faults, depth: int) -> tuple[Condition, ...]:
    if not isinstance(parts, list) or not parts:
        faults.add(at, f"`{at[-1]}` must be a list of at least one condition")
        return ()
    return tuple(read_condition(part, (*at, index), faults, depth) for index, part in enumerate(parts))


def _comparison(comparison: Any, at: Place, faults: Faults) -> Condition:
    if not isinstance(comparison, dict):
        faults.add(at, f"a condition must be {_SHAPE}")
        return STAND_IN
    faults.is_object(comparison, at, "a condition", (*Comparison.model_fields, *_COMBINATIONS))
    if comparison and comparison.keys().isdisjoint(Comparison.model_fields):
        return STAND_IN  # It was not meant as a comparison, so the missing fields of a comparison are not reported.
    _path(comparison, "key", at, faults)
    op = _op(comparison, at, faults)
    if op is None:
        return STAND_IN
    literal_only = op in (Op.EXISTS, Op.IS_TYPE)
    if "value_from" in comparison:
        if literal_only:
            faults.add((*at, "value_from"), f"`{op}` takes a literal `value`")
        elif "value" in comparison:
            faults.add((*at, "value_from"), "give either `value` or `value_from`, not both")
        _path(comparison, "value_from", at, faults)
    elif "value" not in comparison and op is not Op.EXISTS:
        faults.add(at, "`value` or `value_from` is required" if not literal_only else "`value` is required")
    value = comparison.get("value", True if op is Op.EXISTS else None)
    if "value" in comparison:
        _literal(op, value, (*at, "value"), faults)
    if faults.found:
        return STAND_IN
    return Comparison(key=comparison["key"], op=op, value=value, value_from=comparison.get("value_from"))


def _path(comparison: dict[str, Any], field: str, at: Place, faults: Faults) -> None:
    if field in comparison:
        faults.path(comparison[field], (*at, field))
    else:
        faults.add(at, f"`{field}` is required")


def _op(comparison: dict[str, Any], at: Place, faults: Faults) -> Op | None:
    if "op" not in comparison:
        faults.add(at, "`op` is required")
        return None
    op = comparison["op"]
    if not isinstance(op, str) or op not in _OPS:
        hint = closest_op(op) if isinstance(op, str) else ""
        faults.add((*at, "op"), f"`op` must be one of {' '.join(_OPS)}{hint}")
        return None
    return Op(op)


def _literal(op: Op, value: Any, at: Place, faults: Faults) -> None:
    if op in (Op.IN, Op.NOT_IN) and not isinstance(value, list):
        faults.add(at, f"`{op}` takes an array")
    elif op is Op.EXISTS and not isinstance(value, bool):
        faults.add(at, "`exists` takes true or false")
    elif op is Op.IS_TYPE and value not in JSON_TYPES:
        faults.add(at, f"`is_type` takes one of {' '.join(JSON_TYPES)}")
    faults.fits(value, at)
