"""A condition that compares large values ends within a counted amount of work, or as a condition_error."""

from __future__ import annotations

from typing import Any

import pytest

from service.core.errors import ConditionError
from service.core.graph import Edge
from service.core.routing import comparison
from service.core.routing.conditions import decide
from service.core.state import State
from service.core.validation import read_graph

COMPARISONS_MAX = 10_000
"""A smaller budget than the real one, which is as good for all but one test."""
ONES = [1] * (COMPARISONS_MAX // 2)
FLOATS = [1.0] * (COMPARISONS_MAX // 2)
LISTS = [[1]] * (COMPARISONS_MAX // 2)
CHARACTERS = 100_000


@pytest.fixture
def _small_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "COMPARISONS_MAX", COMPARISONS_MAX)


def edges_of(*conditions: Any) -> tuple[Edge, ...]:
    edges = [{"to": "a", "condition": condition} for condition in conditions]
    return read_graph({"start_node": "a", "nodes": {"a": "t"}, "edges": {"a": edges}}, ["t"]).edges_from("a")


def goes(state: dict[str, Any] | State, *conditions: Any) -> bool:
    found = state if isinstance(state, State) else State.of(state, 2**30)
    return decide(edges_of(*conditions), found).to == "a"


def same(left: str, right: str, op: str = "==") -> dict[str, Any]:
    return {"key": left, "op": op, "value_from": right}


@pytest.mark.usefixtures("_small_budget")
@pytest.mark.parametrize(
    "condition",
    [
        {"all": [same("ones", "floats")] * 5000},
        {"all": [{"not": same("ones", "floats", "!=")}] * 5000},
        {"any": [{"key": "lists", "op": "contains", "value": [2]}] * 5000},
        {"any": [{"key": "n", "op": "in", "value_from": "trues"}] * 5000},
        {"any": [{"not": {"key": "n", "op": "not_in", "value_from": "trues"}}] * 5000},
        {"all": [same("text.x", "text.y")] * 5000},
        {"all": [{"key": "text.x", "op": "<=", "value_from": "text.y"}] * 5000},
        {"any": [{"key": "text.x", "op": "contains", "value": "b"}] * 5000},
        {"any": [same("members", "others")] * 5000},
        {"any": [{"key": "wide.x", "op": "exists", "value": False}] * (COMPARISONS_MAX + 1)},
    ],
)
def test_beyond_its_budget_a_decision_is_a_condition_error(condition: Any) -> None:
    state = {
        "n": 1,
        "ones": ONES,
        "floats": FLOATS,
        "lists": LISTS,
        "trues": [True] * COMPARISONS_MAX,
        "text": {"x": "a" * CHARACTERS, "y": "a" * CHARACTERS},
        "members": {f"k{number}": number for number in range(6_000)},
        "others": {f"k{number}": float(number) for number in range(5_999)} | {"k5999": 0},
        "wide": {"x": 1},
    }
    with pytest.raises(ConditionError, match="make more than 10000 comparisons"):
        goes(state, condition)


@pytest.mark.usefixtures("_small_budget")
def test_the_edges_of_a_node_share_one_budget() -> None:
    edges = [{"not": same("ones", "floats")}] * 5000
    with pytest.raises(ConditionError, match="make more than"):
        goes({"ones": ONES, "floats": FLOATS}, *edges)


@pytest.mark.usefixtures("_small_budget")
def test_equal_values_of_two_keys_are_compared_by_their_text() -> None:
    state = {"left": LISTS, "right": LISTS}
    assert goes(state, {"all": [same("left", "/right")] * 5000})
    assert goes(state, {"all": [same("left", "right", op) for op in ("==", "==")]})
    assert not goes(state, same("left", "right", "!="))


def test_a_path_of_two_segments_is_no_top_level_key() -> None:
    state = {"a.b": 1, "a": {"b": 2}, "/c": 1, "c": 2, "one": 1}
    assert not goes(state, same("a.b", "one"))
    assert not goes(state, same("/c", "one"))
    assert goes(state, same("/a.b", "one"))


def test_what_people_ask_of_large_arrays_is_within_the_budget() -> None:
    names = [f"name {number}" for number in range(100_000)]
    large = {"names": names, "numbers": list(range(1_000_000)), "n": 999_999.0, "text": "x" * 5_000_000 + "y"}
    state = State.of(large, 2**30)  # Once: to encode it takes longer than to decide.
    assert goes(state, {"key": "names", "op": "contains", "value": "name 99999"})
    assert not goes(state, {"key": "names", "op": "contains", "value": "nobody"})
    assert not goes(state, {"key": "numbers", "op": "contains", "value": -1})
    assert goes(state, {"key": "text", "op": "contains", "value": "xy"})
    assert goes({"left": [1] * 900_000, "right": [1.0] * 900_000}, same("left", "right"))


def test_a_boolean_is_not_found_among_numbers() -> None:
    assert not goes({"items": [1, 0]}, {"key": "items", "op": "contains", "value": True})
    assert goes({"items": [True, 1]}, {"key": "items", "op": "contains", "value": 1})
    assert not goes({"items": [True, False]}, {"key": "items", "op": "contains", "value": 1.0})


@pytest.mark.usefixtures("_small_budget")
def test_a_find_costs_no_more_than_where_it_is() -> None:
    """Whether something is found is no reason for a condition to fail."""
    state = {"ones": [1] * 11_000, "late": [True] * 1_000 + [1], "lists": [[1], *([[2]] * 11_000)]}
    assert goes(state, {"all": [{"key": "ones", "op": "contains", "value": 1.0}] * 5})
    assert goes(state, {"key": "late", "op": "contains", "value": 1})
    assert goes(state, {"key": "lists", "op": "contains", "value": [1]})
