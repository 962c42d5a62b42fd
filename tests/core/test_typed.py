"""Tools that declare the type of their state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import pytest
from pydantic import BaseModel, Field

from rungraph import simulate
from service.core.tool import JsonObject, Tool

if TYPE_CHECKING:
    from rungraph import Context


class Line(BaseModel):
    price: float
    count: int = 1


class Order(BaseModel):
    lines: list[Line]
    total: float = 0
    is_paid: bool = Field(False, alias="paid")


class Counted(TypedDict):
    n: int
    note: NotRequired[str]


def total(state: Order, context: Context) -> None:
    context.log("counted")
    state.total = sum(line.price * line.count for line in state.lines)


def count(state: Counted) -> JsonObject:
    return {"n": state["n"] + 1}


def run(function: Any, **state: Any) -> Any:
    name = function.__name__
    return simulate({"start_node": "a", "nodes": {"a": name}}, tools=[function], state=state)


def test_a_model_is_passed_and_what_it_changes_is_set() -> None:
    trace = run(total, lines=[{"price": 2, "count": 3}], other="kept")
    assert trace.state == {"lines": [{"price": 2, "count": 3}], "other": "kept", "total": 6.0}
    assert trace.steps[0]["changes"]["set"] == {"total": 6.0}
    assert trace.messages == ["counted"]


def test_what_a_tool_returns_comes_on_top() -> None:
    def pays(state: Order) -> Any:
        state.total = 5
        return {"paid": True, "by": "card"}

    def renews(state: Order) -> Any:
        return Order(lines=[], paid=state.total > 0)

    assert run(pays, lines=[]).state == {"lines": [], "total": 5, "paid": True, "by": "card"}
    assert run(renews, lines=[{"price": 1}]).state == {"lines": [], "total": 0, "paid": False}
    assert run(total, lines=[{"price": 0}], total=True).state["total"] == 0
    same = run(lambda state: state, lines=[])
    assert same.state == {"lines": []}


@pytest.mark.parametrize(
    ("function", "state", "place"),
    [
        (total, {"lines": [{"price": 1}, {"price": "x"}]}, "/lines/1/price"),
        (total, {}, "/lines"),
        (count, {"n": "1"}, "/n"),
        (count, {}, "/n"),
        (count, {"n": 1, "note": 2}, "/note"),
    ],
)
def test_a_state_that_does_not_fit_fails_the_attempt(function: Any, state: JsonObject, place: str) -> None:
    error = run(function, **state).error
    assert error["type"] == "invalid_state"
    assert f", at {place}" in error["message"]


def test_a_typed_dict_is_the_state_itself() -> None:
    assert run(count, n=1, other=2).state == {"n": 2, "other": 2}

    def drops(state: Counted) -> None:
        state.pop("note")

    assert run(drops, n=1, note="x").state == {"n": 1}


def test_a_tool_has_a_schema_only_if_it_declares_a_type() -> None:
    def untyped(state: dict[str, Any]) -> None: ...
    def unknown(state: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    typed = Tool.of(total).state_type
    assert typed is not None
    assert typed.schema["properties"]["lines"]["type"] == "array"
    counted = Tool.of(count).state_type
    assert counted is not None
    assert counted.schema["required"] == ["n"]
    for function in (untyped, unknown, lambda state: state, lambda: None):
        assert Tool.of(function, "named").state_type is None
