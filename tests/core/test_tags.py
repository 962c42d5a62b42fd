"""How a tag is written in a filter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.syntax.tags import tag_of


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("a:b", "a", "b"),
        ("a:b:c", "a", "b:c"),
        (r"a\:b:c", "a:b", "c"),
        (r"a\\:b", "a\\", "b"),
        (r"a\\\:b:c", r"a\:b", "c"),
        (r"C\dir:x\:y\\", r"C\dir", r"x\:y\\"),
        ("::", "", ":"),
        (":", "", ""),
        (r"\::", ":", ""),
        (r"\!a:b", "!a", "b"),
        (r"a!b:c", "a!b", "c"),
        (r"\\!a:b", r"\!a", "b"),
        ("a\nb:c\nd", "a\nb", "c\nd"),
    ],
)
def test_the_first_colon_ends_the_key(text: str, key: str, value: str) -> None:
    assert tag_of(text) == (key, value)


@pytest.mark.parametrize("text", ["", "a", r"a\:b", "\\", r"a\\\:"])
def test_without_one_there_is_no_tag(text: str) -> None:
    assert tag_of(text) is None


@given(st.text(alphabet="a:!\\"), st.text(alphabet="a:!\\"))
def test_every_tag_can_be_written(key: str, value: str) -> None:
    written = key.replace("\\", "\\\\").replace(":", "\\:").replace("!", "\\!")
    assert not written.startswith("!")
    assert tag_of(f"{written}:{value}") == (key, value)
