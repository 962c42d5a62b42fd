"""A large result is shortened to what an assistant can read, and its notes say what is missing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cli.mcp.cutting import NOTES_MAX, PLACE_CHARS_MAX, Cutter, fair_share
from service.core import codec


def cut(value: Any, chars_max: int = 400, offset: int = 0) -> tuple[Any, list[str]]:
    cutter = Cutter()
    return cutter.fit(value, chars_max, "", offset), cutter.notes()


def test_what_fits_is_whole() -> None:
    assert cut({"a": [1, "b", None]}) == ({"a": [1, "b", None]}, [])


def test_small_members_are_whole_beside_a_large_one() -> None:
    shown, notes = cut({"text": "x" * 1000, "n": 1, "list": list(range(1000))}, 1000)
    assert shown["n"] == 1
    assert shown["list"] == list(range(len(shown["list"])))
    assert notes == [
        f"/text: a text of 1,000 characters, of which 0 to {len(shown['text']) - 1} are shown",
        f"/list: an array of 1,000 elements, of which 0 to {len(shown['list']) - 1} are shown",
    ]


def test_members_that_have_no_room_are_left_out() -> None:
    shown, notes = cut({f"key{number}": "x" * 300 for number in range(50)})
    assert list(shown) == ["key0", "key1"]
    assert notes[0] == "/: an object of 50 members, of which 0 to 1 are shown"


def test_the_rest_is_read_by_its_offset() -> None:
    assert cut("abcdef", offset=4) == ("ef", ["/: a text of 6 characters, of which 4 to 5 are shown"])
    assert cut([1, 2, 3], offset=2) == ([3], ["/: an array of 3 elements, of which 2 to 2 are shown"])
    assert cut({"a": 1, "b": 2}, offset=1) == ({"b": 2}, ["/: an object of 2 members, of which 1 to 1 are shown"])
    assert cut([1], offset=5) == ([], ["/: an array of 1 elements, of which none is shown"])


@pytest.mark.parametrize(
    "value",
    [
        "\x01" * 5000,
        10**4000,
        [["y" * 5000]],
        {"k" * 5000: "v" * 5000},
        {"a": {"b": {"c": ["z" * 5000] * 9}}},
        {f"{number}": {"x": "w" * 900} for number in range(900)},
    ],
)
def test_nothing_is_too_large(value: Any) -> None:
    shown, notes = cut(value)
    assert len(codec.encode(shown)) <= 450
    assert notes
    assert all(len(note) < PLACE_CHARS_MAX + 100 for note in notes)


def test_the_notes_are_counted_beyond_a_bound() -> None:
    cutter = Cutter()
    cutter.fit_items(["x" * 5000] * 30, "/items")
    assert len(cutter.notes()) == NOTES_MAX + 1
    assert cutter.notes()[-1] == "and 10 more places"


@given(st.lists(st.integers(0, 500), max_size=20), st.integers(0, 3000))
def test_a_fair_share_leaves_no_room_unused(sizes: list[int], total: int) -> None:
    share = fair_share(sizes, total)
    used = sum(min(size, share) for size in sizes)
    assert used <= total
    assert used == sum(sizes) or used + len(sizes) > total
