"""JSON Merge Patch: the test cases of RFC 7396's appendix A, and its laws."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core import codec
from service.core.syntax.patch import merged
from tests.support.core.strategies import json_values, states

CASES: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]
EXAMPLE = {
    "title": "Goodbye!",
    "author": {"givenName": "John", "familyName": "Doe"},
    "tags": ["example", "sample"],
    "content": "This will be unchanged",
}
EXAMPLE_PATCH = {
    "title": "Hello!",
    "phoneNumber": "+01-123-456-7890",
    "author": {"familyName": None},
    "tags": ["example"],
}
EXAMPLE_MADE = {
    "title": "Hello!",
    "author": {"givenName": "John"},
    "tags": ["example"],
    "content": "This will be unchanged",
    "phoneNumber": "+01-123-456-7890",
}


def without_null(value: Any) -> Any:
    """`value` as a patch can make it: no object of it has a null."""
    if not isinstance(value, dict):
        return value
    return {key: without_null(item) for key, item in value.items() if item is not None}


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """A patch that leads from one to the other."""
    made: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        made[key] = difference(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return made


# Of few names, so that they meet.
targets = st.dictionaries(st.sampled_from("abc"), json_values | st.dictionaries(st.sampled_from("ab"), json_values))
patches = targets


@pytest.mark.parametrize(("target", "patch", "made"), [*CASES, (EXAMPLE, EXAMPLE_PATCH, EXAMPLE_MADE)])
def test_the_rfcs_own_cases(target: Any, patch: Any, made: Any) -> None:
    before = copy.deepcopy((target, patch))
    assert merged(target, patch) == made
    assert (target, patch) == before


@given(targets, patches)
def test_a_patch_twice_is_the_patch_once(target: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merged(target, patch)
    assert repr(merged(once, patch)) == repr(once)


@given(json_values)
def test_an_empty_patch_changes_no_object_and_makes_one_of_all_else(target: Any) -> None:
    assert repr(merged(target, {})) == repr(target if isinstance(target, dict) else {})


@given(states)
def test_a_patch_of_nothing_makes_what_it_says_without_its_nulls(patch: dict[str, Any]) -> None:
    assert repr(merged({}, patch)) == repr(without_null(patch))


@given(targets, patches)
def test_what_a_patch_does_not_name_stays(target: dict[str, Any], patch: dict[str, Any]) -> None:
    made = merged(target, patch)
    assert {key: made[key] for key in target if key not in patch} == {
        key: value for key, value in target.items() if key not in patch
    }
    assert not [key for key, value in patch.items() if value is None and key in made]


@given(targets, targets)
def test_from_any_object_to_any_without_nulls_there_is_a_patch(before: dict[str, Any], after: dict[str, Any]) -> None:
    wanted = without_null(after)
    assert codec.canonical(merged(before, difference(before, wanted))) == codec.canonical(wanted)
