"""What is said of texts that are no JSON."""

from __future__ import annotations

import pytest

from service.core import codec
from service.core.errors import NotJson


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it is empty"),
        (" \n\t\r", "it is empty"),
        ("nul", "a value is expected at line 1, column 1, before 'nul'"),
        ('{"a":\n ', "a value is expected at line 2, column 2, at the end"),
        ("{'a': 1}", "a key in double quotes is expected at line 1, column 2, before \"'a': 1}\""),
        ('{"a" 1}', "a colon is expected at line 1, column 6, before '1}'"),
        ('{"a": 1\n "b": 2}', "a comma or a closing bracket is expected at line 2, column 2, before '\"b\": 2}'"),
        ("[1 22222222222222222222222]", "column 4, before '22222222222222222222'…"),
        ('"a\nb"', "a control character in a string must be written as an escape like \\n at line 1"),
        (r'"\x"', "a backslash does not begin a valid escape at line 1, column 2"),
        (r'"\u12"', "four hexadecimal digits"),
        ('["abc', "a string is not closed at line 1, column 2"),
        ("1 2", "there is more text after the end of the value at line 1, column 3, before '2'"),
        ("\ufeff{}", "it begins with a byte order mark"),
        ("[NaN]", "NaN is not JSON"),
        ('{"a": 1, "a": 2}', "the key 'a' appears twice in one object"),
        ("[1e999]", "the number 1e999 is out of range"),
        ("☃", "before '\\u2603'"),
    ],
)
def test_it_is_said_in_words_what_is_wrong_and_where(text: str, says: str) -> None:
    with pytest.raises(NotJson) as raised:
        codec.decode(text.encode())
    assert says in str(raised.value)
    assert "(char" not in str(raised.value)
    assert "Expecting" not in str(raised.value)
