"""The state of a run: changes lead from one to the next exactly, and nothing that is no JSON gets in."""

from __future__ import annotations

import enum
import math
from collections import Counter, OrderedDict, defaultdict
from datetime import date
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core import codec
from service.core.errors import AttemptError, StateInvalid
from service.core.state import State
from tests.support.core.strategies import json_values, keys, states

ROOM = 10**5


def texts_of(value: dict[str, Any]) -> dict[str, str]:
    return {key: codec.encode(item) for key, item in value.items()}


@given(states, states)
def test_changes_lead_from_one_state_to_the_next(before: dict[str, Any], after: dict[str, Any]) -> None:
    state = State.of(before, ROOM)
    changes = state.changes_to(after, {}, ROOM)
    assert texts_of(state.apply(changes).to_object()) == texts_of(after)


@given(states, states)
def test_only_what_differs_as_text_is_set_and_only_what_is_gone_is_unset(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    changes = State.of(before, ROOM).changes_to(after, {}, ROOM)
    old, new = texts_of(before), texts_of(after)
    assert {key: entry.text for key, entry in changes.set.items()} == {
        key: text for key, text in new.items() if old.get(key) != text
    }
    assert set(changes.unset) == old.keys() - new.keys()


@given(states, states)
def test_what_the_tool_was_given_saves_work_and_changes_nothing(left: dict[str, Any], right: dict[str, Any]) -> None:
    state = State.of(left, ROOM)
    given_to_tool = state.to_object()
    after = {**given_to_tool, **right}
    assert state.changes_to(after, dict(given_to_tool), ROOM) == state.changes_to(after, {}, ROOM)


@given(states, states)
def test_what_was_decoded_before_is_what_would_be_decoded_now(left: dict[str, Any], right: dict[str, Any]) -> None:
    state = State.of(left, ROOM)
    state.to_object()
    after = state.apply(state.changes_to(right, {}, ROOM))
    assert repr(after.to_object()) == repr(after.to_object()) == repr(State(after.entries).to_object())


@given(states)
def test_a_state_comes_back_exactly_and_in_its_order(value: dict[str, Any]) -> None:
    state = State.of(value, ROOM)
    assert repr(state.to_object()) == repr(value)
    assert state.to_text() == codec.encode(value)
    assert [entry.position for entry in state.entries.values()] == list(range(len(value)))
    assert all(entry.byte_length == len(entry.text.encode()) for entry in state.entries.values())


@given(states, states)
def test_positions_grow_along_the_state_so_that_reading_back_keeps_its_order(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    state = State.of(before, ROOM)
    changed = state.apply(state.changes_to(after, {}, ROOM))
    positions = [entry.position for entry in changed.entries.values()]
    assert positions == sorted(set(positions))
    assert list(changed) == [key for key in before if key in after] + [key for key in after if key not in before]


@pytest.mark.parametrize(
    ("old", "new"), [(1, 1.0), (0.0, -0.0), (1, True), (0, False), ([1], [1.0]), ({"a": 1}, {"a": 1.0})]
)
def test_values_of_other_text_are_changes_though_python_calls_them_equal(old: Any, new: Any) -> None:
    assert old == new
    assert State.of({"x": old}, ROOM).changes_to({"x": new}, {"x": old}, ROOM).set["x"].text == codec.encode(new)


def test_a_list_that_was_changed_in_place_is_a_change() -> None:
    state = State.of({"x": [1]}, ROOM)
    value = state.to_object()
    handed = dict(value)
    value["x"].append(2)
    assert state.changes_to(value, handed, ROOM).set["x"].text == "[1,2]"


def test_a_copy_is_its_receivers_own() -> None:
    state = State.of({"x": {"y": [1]}}, ROOM)
    state.to_object()["x"]["y"].append(2)
    assert state.to_object() == {"x": {"y": [1]}}


class Colour(enum.StrEnum):
    RED = "red"


class OldColour(str, enum.Enum):  # noqa: UP042  # meant: its str() is its name
    RED = "red"


class Size(enum.IntEnum):
    BIG = 3


class Loud(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "LOUD"


class Grams(float):
    def __repr__(self) -> str:
        return "many grams"


class Point(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((Colour.RED, '"red"'), (OldColour.RED, '"red"'), (Loud("a"), '"a"'), (Size.BIG, "3"), (Grams(0.5), "0.5")),
        *(((1, (2, ())), "[1,[2,[]]]"), (Point(1, 2), "[1,2]"), (OrderedDict(b=1, a=2), '{"b":1,"a":2}')),
        *((Counter("aab"), '{"a":2,"b":1}'), (defaultdict(list, a=[1]), '{"a":[1]}')),
        *(({Colour.RED: {OldColour.RED: 1}}, '{"red":{"red":1}}'), ({Loud("a"): 1}, '{"a":1}')),
    ],
)
def test_subclasses_become_their_base_value_and_tuples_arrays(value: Any, text: str) -> None:
    state = State.of({"x": value}, ROOM)
    assert state.entries["x"].text == text
    assert not state.changes_to({"x": value}, {}, ROOM).set


@pytest.mark.parametrize("key", [Colour.RED, OldColour.RED, Loud("red")])
def test_a_key_of_the_state_that_is_a_subclass_becomes_its_base_value(key: str) -> None:
    state = State.of({key: 1}, ROOM)
    assert [(type(name), name) for name in state] == [(str, "red")]
    assert state.to_text() == '{"red":1}'
    assert list(State.of({"red": 2}, ROOM).changes_to({key: 1}, {}, ROOM).set) == ["red"]


def endless(made: Any) -> Any:
    made.append(made) if isinstance(made, list) else made.update(self=made)
    return made


def shared() -> Any:
    made: Any = []
    for _ in range(90):
        made = [made, made]
    return made


def deep(levels: int) -> Any:
    """A list of lists, `levels` levels."""
    made: Any = []
    for _ in range(levels - 1):
        made = [made]
    return made


@pytest.mark.parametrize(
    "value",
    [
        *(
            {1},
            frozenset(),
            b"a",
            bytearray(),
            1j,
            date(2020, 1, 1),
            object(),
            print,
            iter([]),
            range(2),
            Ellipsis,
            int,
        ),
        *(math.nan, math.inf, -math.inf, Grams("nan"), {1: 1}, {None: 1}, {True: 1}, {("a",): 1}, {1.5: 1}),
        *("\ud800", "a\udfff", "\0", {"\0": 1}, {"\ud800": 1}, Loud("\0"), deep(100), endless([]), endless({})),
        *([endless({})], {"a": endless([1])}),
        *(pytest.param(10**4300, id="10**4300"), pytest.param(shared(), id="shared")),
    ],
    ids=lambda value: f"{value!r:.20}",
)
def test_what_is_no_json_is_no_state(value: Any) -> None:
    for whole in ({"x": value}, {"ok": 1, "x": [value]}):
        with pytest.raises(StateInvalid) as refused:
            State.of(whole, ROOM)
        assert str(refused.value).encode()  # Fit to be stored.
        assert "\0" not in str(refused.value)


@pytest.mark.parametrize("key", [1, None, True, ("a",), "\0", "\ud800", 1.5, b"a"])
def test_a_key_that_is_no_text_is_no_state(key: Any) -> None:
    with pytest.raises(StateInvalid) as refused:
        State.of({"a": 1, key: 1}, ROOM)
    assert str(refused.value).encode()
    assert isinstance(refused.value, AttemptError)
    assert refused.value.type == "invalid_state"


def test_a_state_is_level_one_of_a_hundred() -> None:
    State.of({"x": deep(99)}, ROOM)
    with pytest.raises(StateInvalid, match="deeper than 100"):
        State.of({"x": deep(100)}, ROOM)


def test_the_message_says_where() -> None:
    with pytest.raises(StateInvalid, match=r"a set is not JSON, at /a~1b/0/c"):
        State.of({"a/b": [{"c": {1}}]}, ROOM)


@given(states)
def test_the_limit_is_the_length_of_the_compact_text_in_utf8(value: dict[str, Any]) -> None:
    size = len(codec.encode(value).encode())
    State.of(value, size)
    if value:
        with pytest.raises(StateInvalid, match="bytes"):
            State.of(value, size - 1)


@given(states, keys, json_values)
def test_setting_one_key_is_the_change_to_the_state_with_it(before: dict[str, Any], key: str, value: Any) -> None:
    state = State.of(before, ROOM)
    whole = {**before, key: value}
    size = len(codec.encode(whole).encode())
    changes = state.changes_setting(key, codec.encode(value), size)
    assert changes[:2] == state.changes_to(whole, {}, size)[:2]
    if changes.set:
        with pytest.raises(StateInvalid, match=f"more than {size - 1} bytes"):
            state.changes_setting(key, codec.encode(value), size - 1)


@pytest.mark.parametrize(("levels", "fits"), [(99, True), (100, False)])
def test_setting_a_value_that_nests_too_deep_is_refused(levels: int, fits: bool) -> None:
    text = codec.encode(deep(levels))
    if fits:
        assert State.of({}, ROOM).changes_setting("x", text, ROOM).set["x"].text == text
    else:
        with pytest.raises(StateInvalid, match="deeper than 100"):
            State.of({}, ROOM).changes_setting("x", text, ROOM)
    # Brackets in strings and side by side are no depth.
    State.of({}, ROOM).changes_setting("x", codec.encode(["[" * 200, *([[]] * 100)]), ROOM)


@given(st.dictionaries(st.sampled_from("ab"), st.integers()), states)
def test_the_limit_counts_what_a_step_left_alone(before: dict[str, Any], after: dict[str, Any]) -> None:
    state = State.of(before, ROOM)
    whole = {**state.to_object(), **after}
    size = len(codec.encode(whole).encode())
    state.changes_to(whole, state.to_object(), size)
    if whole:
        with pytest.raises(StateInvalid):
            state.changes_to(whole, state.to_object(), size - 1)


def test_many_new_keys_cost_no_more_than_their_number() -> None:
    """The first free position was looked for among all keys, for each new one."""
    many = 20_000
    state = State.of({f"old {number}": number for number in range(many)}, 2**24)
    asked = 0

    class Counting(dict[str, Any]):
        def values(self) -> Any:
            nonlocal asked
            asked += 1
            return super().values()

    after = state.to_object() | {f"new {number}": number for number in range(many)}
    changes = State(Counting(state.entries)).changes_to(after, {}, 2**24)
    assert [entry.position for entry in changes.set.values()] == list(range(many, 2 * many))
    assert asked <= 1
