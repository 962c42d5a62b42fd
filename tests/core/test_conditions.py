"""Each comparison of the contract in its corners, and what is recorded of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from service.core.codec import json_type
from service.core.errors import ConditionError
from service.core.graph import Edge
from service.core.routing.comparison import WorkBudget
from service.core.routing.comparison import equal as equal_within
from service.core.routing.conditions import Decision, Reason, decide
from service.core.state import State
from service.core.syntax import path
from service.core.validation import read_graph
from tests.support.core.strategies import json_values, scalars

BIG = 2**53


def edges_of(*edges: Any) -> tuple[Edge, ...]:
    document = {"start_node": "a", "nodes": {"a": "t", "b": "t", "c": "t"}, "edges": {"a": list(edges)}}
    return read_graph(document, ["t"]).edges_from("a")


def asked(condition: dict[str, Any], state: dict[str, Any]) -> Decision:
    return decide(edges_of({"to": "b", "condition": condition}), State.of(state, 10**6))


def holds(condition: dict[str, Any], **state: Any) -> bool:
    return asked(condition, state).to == "b"


def equal(left: Any, right: Any) -> bool:
    return equal_within(left, right, WorkBudget())


def note(condition: dict[str, Any], **state: Any) -> Any:
    return asked(condition, state).evaluated[0].get("note")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        *(
            (0, 0.0),
            (-0.0, 0),
            (1, 1.0),
            (BIG, float(BIG)),
            (10**4000, 10**4000),
            ("é", "é"),
            (None, None),
            (True, True),
        ),
        *(([], []), ({}, {}), ([0, [1.0]], [0.0, [1]]), ({"a": 1, "b": {"c": 0}}, {"b": {"c": 0.0}, "a": 1.0})),
    ],
)
def test_equal_values_are_equal_at_any_depth(left: Any, right: Any) -> None:
    assert holds({"key": "x", "op": "==", "value": right}, x=left)
    assert not holds({"key": "x", "op": "!=", "value": right}, x=left)
    assert holds({"key": "x", "op": "==", "value": [right]}, x=[left])


@pytest.mark.parametrize(
    ("left", "right"),
    [
        *((1, True), (0, False), (True, 1.0), ([1], [True]), ({"a": 0}, {"a": False}), (None, False), (None, 0)),
        *(("", None), ("1", 1), ([], {}), ({}, None), ([1, 2], [2, 1]), ([1], [1, 2]), ({"a": 1}, {"a": 1, "b": 1})),
        *((BIG + 1, float(BIG)), (10**400, 10**400 + 1), ({"a": None}, {"b": None}), ("e\u0301", "é")),
    ],
)
def test_unlike_values_are_unequal_and_nothing_to_note(left: Any, right: Any) -> None:
    for one, other in ((left, right), (right, left)):
        assert not holds({"key": "x", "op": "==", "value": other}, x=one)
        assert holds({"key": "x", "op": "!=", "value": other}, x=one)
        assert note({"key": "x", "op": "==", "value": other}, x=one) is None


@pytest.mark.parametrize(
    ("low", "high"),
    [
        *(
            (1, 2),
            (1, 1.5),
            (-1, -0.5),
            (BIG, BIG + 1),
            (float(BIG), BIG + 1),
            (10**400, 10**400 + 1),
            (-1e308, 10**400),
        ),
        *(("", "a"), ("Z", "a"), ("a", "ab"), ("z", "é"), ("\uffff", "😀")),
    ],
)
def test_numbers_and_strings_are_ordered(low: Any, high: Any) -> None:
    for op, of_low, of_high, of_same in ((">", 0, 1, 0), (">=", 0, 1, 1), ("<", 1, 0, 0), ("<=", 1, 0, 1)):
        assert holds({"key": "x", "op": op, "value": high}, x=low) is bool(of_low)
        assert holds({"key": "x", "op": op, "value": low}, x=high) is bool(of_high)
        assert holds({"key": "x", "op": op, "value": low}, x=low) is bool(of_same)


@pytest.mark.parametrize("op", [">", ">=", "<", "<="])
@pytest.mark.parametrize(
    ("left", "right"),
    [(1, "1"), (True, 0), (1, True), (True, True), (None, None), (None, 0), ([1], [1]), ({}, {}), ("a", ["a"])],
)
def test_what_has_no_order_is_false_with_a_note(op: str, left: Any, right: Any) -> None:
    condition = {"key": "x", "op": op, "value": right}
    assert not holds(condition, x=left)
    assert note(condition, x=left) == "type_mismatch"


def test_in_asks_an_array_for_an_equal_element() -> None:
    assert holds({"key": "x", "op": "in", "value": [True, 1.0]}, x=1)
    assert not holds({"key": "x", "op": "in", "value": [True]}, x=1)
    assert not holds({"key": "x", "op": "in", "value": []}, x=1)
    assert holds({"key": "x", "op": "in", "value": [[0.0]]}, x=[0])
    assert holds({"key": "x", "op": "not_in", "value": [1]}, x=True)
    assert not holds({"key": "x", "op": "not_in", "value": [1]}, x=1.0)
    assert holds({"key": "x", "op": "in", "value_from": "y.0"}, x=1, y=[[1]])


@pytest.mark.parametrize("op", ["in", "not_in"])
@pytest.mark.parametrize("found", ["abc", 1, None, {"a": 1}, True])
def test_in_something_that_is_no_array_is_false_with_a_note(op: str, found: Any) -> None:
    condition = {"key": "x", "op": op, "value_from": "y"}
    assert not holds(condition, x="a", y=found)
    assert note(condition, x="a", y=found) == "type_mismatch"


def test_contains_asks_an_array_or_a_string() -> None:
    assert holds({"key": "x", "op": "contains", "value": 1.0}, x=[0, 1])
    assert not holds({"key": "x", "op": "contains", "value": True}, x=[0, 1])
    assert holds({"key": "x", "op": "contains", "value": {"a": [0]}}, x=[{"a": [0.0]}])
    assert holds({"key": "x", "op": "contains", "value": "bc"}, x="abcd")
    assert holds({"key": "x", "op": "contains", "value": ""}, x="")
    assert not holds({"key": "x", "op": "contains", "value": "bc"}, x=["abcd"])
    assert note({"key": "x", "op": "contains", "value": 1}, x=["1"]) is None


@pytest.mark.parametrize(("left", "right"), [({"a": 1}, "a"), (12, 1), (None, None), (True, True), ("12", 1)])
def test_what_contains_nothing_is_false_with_a_note(left: Any, right: Any) -> None:
    condition = {"key": "x", "op": "contains", "value": right}
    assert not holds(condition, x=left)
    assert note(condition, x=left) == "type_mismatch"


@pytest.mark.parametrize(
    "key", ["y", "x.b", "x.a.0", "x.a.b", "l.3", "l.01", "l.-1", "l.-", "l.+1", "l.٠", "/x/a~1", "/"]
)
def test_only_exists_may_ask_for_what_is_missing(key: str) -> None:
    state = {"x": {"a": 1}, "l": [0, 1, 2]}
    assert not holds({"key": key, "op": "exists"}, **state)
    assert holds({"key": key, "op": "exists", "value": False}, **state)
    assert asked({"key": key, "op": "exists"}, state).evaluated[0]["operands"] == {}
    for condition in ({"key": key, "op": "is_type", "value": "null"}, {"key": "l", "op": "==", "value_from": key}):
        with pytest.raises(ConditionError):
            asked(condition, state)


def test_null_is_a_value_and_not_missing() -> None:
    assert holds({"key": "x", "op": "exists"}, x=None)
    assert holds({"key": "x.y", "op": "==", "value": None}, x={"y": None})
    assert not holds({"key": "x", "op": "exists", "value": False}, x=None)


TYPES: dict[str, Any] = {"null": None, "boolean": True, "number": 1.5, "string": "", "array": [], "object": {}}


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("value", [*TYPES.values(), 0])
def test_is_type_names_the_json_type(name: str, value: Any) -> None:
    right = type(value) is type(TYPES[name]) or (name == "number" and type(value) is int)
    assert holds({"key": "x", "op": "is_type", "value": name}, x=value) is right


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *(
            ("l.1.k", 7),
            ("/l/1/k", 7),
            ("o.0", "key"),
            ("/o/0", "key"),
            ("a/b", 1),
            ("/a~1b", 1),
            ("m~n", 2),
            ("/m~0n", 2),
        ),
        *(("/", 3), ("/d.e", 4), ("o..x", 5), ("/o//x", 5), ("~1", 6), ("/o/~01", 8)),
    ],
)
def test_a_path_is_dotted_or_a_pointer(place: str, value: Any) -> None:
    state = {"l": [0, {"k": 7}], "o": {"0": "key", "": {"x": 5}, "~1": 8}, "a/b": 1, "m~n": 2, "": 3, "d.e": 4, "~1": 6}
    decision = asked({"key": place, "op": "==", "value": value}, state)
    assert decision.evaluated[0]["operands"] == {place: value}
    assert decision.to == "b"


@pytest.mark.parametrize("text", ["", "/~", "/a~2", "/~x/y", "/a/~"])
def test_what_is_no_path_is_told(text: str) -> None:
    assert path.fault_in(text)


@pytest.mark.parametrize("text", ["a", ".", "/", "~", "a~2", "//", "/~0~1"])
def test_odd_paths_are_paths(text: str) -> None:
    assert path.fault_in(text) is None


def test_an_index_beyond_any_number_is_missing() -> None:
    assert path.step_into([1], "9" * 5000) is path.MISSING
    assert path.step_into([1], "0") == 1


TRUE, FALSE = {"key": "t", "op": "==", "value": True}, {"key": "f", "op": "==", "value": True}
MISSING = {"key": "nowhere", "op": "==", "value": 1}


@pytest.mark.parametrize(
    ("condition", "result", "operands"),
    [
        ({"all": [FALSE, MISSING]}, False, {"f": False}),
        ({"any": [TRUE, MISSING]}, True, {"t": True}),
        ({"all": [TRUE, {"any": [FALSE, TRUE, MISSING]}]}, True, {"t": True, "f": False}),
        ({"not": {"all": [FALSE, MISSING]}}, True, {"f": False}),
        ({"any": [FALSE, {"not": TRUE}]}, False, {"f": False, "t": True}),
    ],
)
def test_all_and_any_stop_at_the_first_that_decides(condition: Any, result: bool, operands: Any) -> None:
    decision = asked(condition, {"t": True, "f": False})
    assert decision.evaluated == ({"to": "b", "condition": condition, "result": result, "operands": operands},)


def test_a_mismatch_under_a_negation_is_noted_all_the_same() -> None:
    decision = asked({"not": {"key": "x", "op": "<", "value": 1}}, {"x": "1"})
    assert (decision.to, decision.evaluated[0]["note"]) == ("b", "type_mismatch")


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("y", "there is 'x', 'its'"),
        ("x.b", "there is 'a', 'o' at '/x'"),
        ("x.a.0", "there is a number at '/x/a'"),
        ("x.o.9", "there is an array of 2 at '/x/o'"),
    ],
)
def test_a_missing_key_fails_and_names_what_is_there(key: str, named: str) -> None:
    with pytest.raises(ConditionError) as raised:
        asked({"key": key, "op": "==", "value": 1}, {"x": {"a": 1, "o": [1, 2]}, "its": 0})
    assert str(raised.value) == f"the state has nothing at {key!r}; {named}"


def test_the_message_of_a_missing_key_is_of_bounded_length() -> None:
    with pytest.raises(ConditionError) as raised:
        asked({"key": "k" * 100_000, "op": "==", "value": 1}, {f"{'n' * 10_000}{i}": 0 for i in range(50)})
    assert "and 30 more" in str(raised.value)
    assert len(str(raised.value)) < 4_000


def test_an_empty_state_has_nothing() -> None:
    with pytest.raises(ConditionError, match="there is nothing"):
        asked({"key": "x", "op": "==", "value": 1}, {})


def test_the_first_edge_that_is_true_is_taken_and_later_ones_are_not_asked() -> None:
    first, second = {"key": "n", "op": ">", "value": 5}, {"key": "n", "op": ">", "value": 2}
    edges = edges_of({"to": "b", "condition": first}, {"to": "c", "condition": second}, "a")
    records = [
        {"to": "b", "condition": first, "result": False, "operands": {"n": 3}},
        {"to": "c", "condition": second, "result": True, "operands": {"n": 3}},
    ]
    assert decide(edges, State.of({"n": 3}, 100)) == Decision("c", Reason.CONDITION, tuple(records))
    unconditional: dict[str, Any] = {"to": "a", "condition": None, "result": True, "operands": {}}
    decision = decide(edges, State.of({"n": 1}, 100))
    assert (decision.to, decision.reason) == ("a", Reason.UNCONDITIONAL)
    assert decision.evaluated[-1] == unconditional
    assert len(decision.evaluated) == 3


def test_a_run_without_a_way_on_ends_and_the_decision_says_why() -> None:
    state = State.of({"n": 0}, 100)
    never = {"key": "n", "op": ">", "value": 0}
    assert decide((), state) == Decision(None, Reason.NO_EDGES)
    none_true = decide(edges_of({"to": "b", "condition": never}), state)
    assert (none_true.to, none_true.reason, len(none_true.evaluated)) == (None, Reason.NONE_TRUE, 1)
    ended = decide(edges_of({"to": None}), state)
    assert (ended.to, ended.reason) == (None, Reason.UNCONDITIONAL)
    ended = decide(edges_of({"to": None, "condition": {"not": never}}), state)
    assert (ended.to, ended.reason) == (None, Reason.CONDITION)


@given(json_values, json_values)
def test_equality_is_reflexive_and_symmetric(left: Any, right: Any) -> None:
    assert equal(left, left)
    assert equal(left, right) is equal(right, left)
    assert holds({"key": "x", "op": "==", "value": right}, x=left) is equal(left, right)


@given(scalars, scalars)
def test_of_two_values_of_one_ordered_type_exactly_one_comparison_holds(left: Any, right: Any) -> None:
    results = [holds({"key": "x", "op": op, "value": right}, x=left) for op in ("<", "==", ">")]
    ordered = json_type(left) == json_type(right) and json_type(left) in ("number", "string")
    assert sum(results) == (1 if ordered else equal(left, right))
