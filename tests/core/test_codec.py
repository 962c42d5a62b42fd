"""The one decoder and the one encoder: what is no JSON stays out, what is JSON comes back exactly."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core import codec
from service.core.errors import Invalid, NotJson
from service.core.syntax.pointer import pointer
from tests.support.core.strategies import json_values, states, texts

LONGEST = 10**4300 - 1


@pytest.fixture
def any_digits() -> Iterator[None]:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    yield
    sys.set_int_max_str_digits(before)


def _id(value: Any) -> str:
    return f"{value!r:.20}"


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" ", b"{", b"[1,]", b"{'a':1}", b"01", b"+1", b".5", b"1.", b"0x1", b"tru", b"1 2", b"[1]]", b'"\n"'),
        *(b"NaN", b"[Infinity]", b'{"a":-Infinity}', b"1e999", b"-1e999", b"1" + b"0" * 400 + b".0"),
        *(b'{"a":1,"a":1}', b'[{"x":{"a":1,"b":2,"a":3}}]', b'{"a":1,"\\u0061":2}'),
        *(
            b"\xff",
            b'"\xed\xa0\x80"',
            b'"\xc0\x80"',
            '"é"'.encode("latin-1"),
            b"\xef\xbb\xbf{}",
            '"a"'.encode("utf-16"),
        ),
        *(b"1" * 4301, b"-" + b"9" * 4301, b'{"n":' + b"1" * 100_000 + b"}"),
    ],
    ids=_id,
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(NotJson):
        codec.decode(body)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'"\\u0000"', ""),
        (b'{"a":["\\u0000"]}', "/a/0"),
        (b'{"a":{"b/c":"\\ud800"}}', "/a/b~1c"),
        (b'["\\udc00\\ud800"]', "/0"),
        (b'{"a~\\u0000":1}', "/a~0\ufffd"),
        (b'{"\\ud800":1}', "/\ufffd"),
    ],
)
def test_what_no_state_can_hold_is_refused_with_its_place(body: bytes, pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        codec.decode(body)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]
    assert str(refused.value).encode()  # Whoever shows it can write it down.


@pytest.mark.parametrize("body", [b'"\\ud83d\\ude00"', b'"\\u00e9"', b'"\\\\u0000"'])
def test_pairs_of_surrogates_and_escaped_backslashes_are_text(body: bytes) -> None:
    assert codec.decode(body) == json.loads(body)


@pytest.mark.parametrize(("left", "right"), ["[]", ("[", "]"), ('{"a":', "}")])
def test_values_nest_a_hundred_levels_and_no_more(left: str, right: str) -> None:
    codec.decode((left * 99 + "[]" + right * 99).encode())
    with pytest.raises(Invalid) as refused:
        codec.decode((left * 100 + "[]" + right * 100).encode())
    assert refused.value.faults[0].pointer == ("/0" if left == "[" else "/a") * 100
    codec.decode((left * 100 + "[]" + right * 100).encode(), depth_max=101)


def test_brackets_within_strings_are_no_levels() -> None:
    assert codec.decode(b'"' + b"[" * 200 + b'"') == "[" * 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"[" * 100_000 + b"]" * 100_000, "/0" * 100),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "/a" * 100),
        (b'[0,{"k]":[1,2,' + b"[" * 100_000 + b"]" * 100_000 + b"]}]", "/1/k]/2" + "/0" * 97),
    ],
    ids=_id,
)
def test_depth_beyond_any_stack_is_refused_where_it_grows_too_deep(body: bytes, pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        codec.decode(body)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


@pytest.mark.parametrize(
    "body",
    [
        *(b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"}" * 100_000, b"[" * 100_000 + b"]" * 100_001),
        # A string without an end costs no more than its length.
        *(b"[" * 2_000 + b'"' + b'\\"' * 400_000, b"[" * 2_000 + b'"' * 400_001),
    ],
    ids=_id,
)
def test_endless_depth_that_is_not_closed_is_no_json(body: bytes) -> None:
    with pytest.raises(NotJson):
        codec.decode(body)


@given(json_values)
def test_a_value_comes_back_exactly(value: Any) -> None:
    text = codec.encode(value)
    assert repr(codec.decode(text.encode())) == repr(codec.loads(text)) == repr(value)


@pytest.mark.parametrize(
    "value",
    [2**64, 2**64 + 1, -(2**63) - 1, LONGEST, -LONGEST, -0.0, 0.1, 5e-324, 1.7976931348623157e308, 1e22, 5.0],
    ids=_id,
)
def test_numbers_are_exact(value: float) -> None:
    back = codec.decode(codec.encode(value).encode())
    assert back == value
    assert repr(back) == repr(value)  # Tells -0.0 from 0.0, and 5.0 from 5.


def test_texts_are_compact_and_keep_the_order_of_keys() -> None:
    assert codec.encode({"b": [1, 2], "a": "é\u2028"}) == '{"b":[1,2],"a":"é\u2028"}'


@given(states)
def test_canonical_text_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    backwards = dict(reversed(value.items()))
    assert codec.canonical(backwards) == codec.canonical(value)
    assert codec.loads(codec.canonical(value)) == value


@pytest.mark.parametrize(
    ("segments", "expected"),
    [((), ""), (("",), "/"), (("a", 0, "b"), "/a/0/b"), (("a/b", "m~n", "~1"), "/a~1b/m~0n/~01")],
)
def test_pointers_escape_as_rfc_6901_says(segments: tuple[str | int, ...], expected: str) -> None:
    assert pointer(*segments) == expected


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        {1},
        b"",
        object(),
        {1: 2},
        {None: 1},
        {("\ud800",): 1},
        "\0",
        "\udfff",
        {"\0": 1},
        pytest.param(10**4300, id="long"),
    ],
)
def test_check_refuses_what_is_no_json(value: Any) -> None:
    with pytest.raises(codec.ValueUnfit) as refused:
        codec.check({"in": [value]})
    assert refused.value.pointer.startswith("/in/0")
    assert refused.value.pointer.encode()


@given(st.integers(0, 2**4000))
def test_check_never_counts_more_bytes_than_there_are(number: int) -> None:
    value = {"n": [number, -number, "é", None, True, 0.5, {}]}
    codec.check(value, bytes_max=codec.byte_length(codec.encode(value)))


def test_check_ends_early_on_a_value_that_shares_its_parts() -> None:
    value: Any = "x" * 100
    for _ in range(90):
        value = [value, value]  # As text it would have 2**90 strings.
    with pytest.raises(codec.ValueUnfit, match="more than 1000 bytes"):
        codec.check(value, bytes_max=1000)


@given(st.text(), texts)
def test_printable_text_can_be_stored_anywhere_and_good_text_is_left_alone(any_text: str, good: str) -> None:
    codec.check(codec.printable(any_text))
    assert len(codec.printable(any_text)) == len(any_text)
    assert codec.printable(good) == good
    assert codec.byte_length(good) == len(good.encode())


@pytest.mark.usefixtures("any_digits")
@pytest.mark.parametrize("sign", ["", "-"])
def test_long_integers_are_refused_whatever_limit_a_tool_has_set(sign: str) -> None:
    """The time of a conversion grows with the square of the digits."""
    assert codec.decode(f"[{sign}{LONGEST}]".encode()) == [int(f"{sign}{LONGEST}")]
    with pytest.raises(NotJson, match="an integer has more than 4300 digits"):
        codec.decode(f"[{sign}{LONGEST}0]".encode())


@given(json_values)
def test_the_encoder_that_is_made_once_writes_what_a_new_one_writes(value: Any) -> None:
    options: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}
    assert codec.encode(value) == json.dumps(value, **options)
    assert codec.canonical(value) == json.dumps(value, sort_keys=True, **options)


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": {1}}, {("a",): 1}], ids=_id)
def test_what_is_no_json_is_not_encoded(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        codec.canonical(value)
