"""Decode, check and encode JSON.

A value enters the system once, through `decode` (the API) or `check` (a tool's return). `encode` writes every stored
value. Numbers stay exact: an integer never becomes a float, and a float is written with the digits that give it back.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from service.core.errors import Invalid, NotJson
from service.core.syntax import not_json
from service.core.syntax.pointer import pointer

DEPTH_MAX = 100
"""How deep values may nest; the outermost value is level 1."""
DOCUMENT_DEPTH_MAX = 4 + 2 * 32 + DEPTH_MAX
"""How deep a graph document may nest.

An edge is at level 4. It may contain 32 nested conditions, two levels each, and the innermost may contain a literal.
"""

INT_DIGITS_MAX = 4300
"""The most digits that an integer may have. CPython by default converts no longer integers from text."""

_TOO_MANY_DIGITS = f"an integer has more than {INT_DIGITS_MAX} digits"
_INT_BOUND = 10**INT_DIGITS_MAX
_SMALL_INT_BOUND = 2**63


class ValueUnfit(ValueError):
    """A value that JSON or a state cannot hold; `path` is its place, outermost segment first."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self._segments: list[str | int] = []

    def within(self, segment: str | int) -> ValueUnfit:
        self._segments.append(segment)
        return self

    @property
    def path(self) -> tuple[str | int, ...]:
        return tuple(reversed(self._segments))

    @property
    def pointer(self) -> str:
        return printable(pointer(*self.path))


def decode(body: bytes, depth_max: int = DEPTH_MAX) -> Any:
    """Decode the JSON that a client sent.

    Raise NotJson if `body` is not JSON in UTF-8, repeats a key in an object, or has a number out of range. Raise
    Invalid if the value nests deeper than `depth_max`, or if a string contains NUL or a lone surrogate.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotJson(f"it is not UTF-8: {error.reason} at byte {error.start}") from error
    try:
        value = _decoder().decode(text)
    except RecursionError as error:
        if not _closes(text):
            raise NotJson("a bracket is not closed") from error
        raise Invalid.at(_pointer_below(text, depth_max), _too_deep(depth_max)) from error
    except json.JSONDecodeError as error:
        raise NotJson(not_json.reason(error)) from error
    except ValueError as error:
        raise NotJson(_plainly(error)) from error
    # NUL and lone surrogates can only be written as escapes, and each level of nesting needs a bracket. Most bodies
    # have no such escapes and few brackets, so they need no check.
    if "\\u" in text or text.count("[") + text.count("{") > depth_max:
        try:
            check(value, depth_max=depth_max)
        except ValueUnfit as unfit:
            raise Invalid.at(unfit.pointer, unfit.message) from unfit
    return value


def loads(text: str) -> Any:
    """Decode a text that `encode` wrote."""
    # `raw_decode` does not search for white space around the value: `encode` writes none.
    return _plain_decoder.raw_decode(text)[0]


def encode(value: Any) -> str:
    """Return the compact JSON text of a value that has passed `check`."""
    # Integers, strings and floats need no encoder. Most steps change no other values, so this saves time.
    kind = type(value)
    if kind is int:
        return int.__repr__(value)
    if kind is str:
        return json.encoder.encode_basestring(value)
    return float.__repr__(value) if kind is float else _encode(value)


def canonical(value: Any) -> str:
    """Return the JSON text of `value` with sorted keys, so that equal values have equal texts."""
    return _encode_sorted(value)


def check(value: Any, *, depth: int = 1, depth_max: int = DEPTH_MAX, bytes_max: int | None = None) -> None:
    """Raise ValueUnfit unless `value`, at level `depth`, is JSON that a state can hold.

    With `bytes_max`, also raise ValueUnfit as soon as the JSON text is certain to be longer: nested lists that share
    their elements are small in memory and huge as text. A text that is slightly longer may pass.
    """
    _Check(depth_max, bytes_max).value(value, depth)


def is_fit_scalar(value: Any) -> bool:
    """Return whether `value` is a scalar that is quickly seen to pass `check`. If not, `check` has to decide."""
    kind = type(value)
    if kind is int:
        return bool(-_SMALL_INT_BOUND < value < _SMALL_INT_BOUND)
    if kind is str:
        return bool(value.isascii() and "\0" not in value)
    return value is None or kind is bool or (kind is float and math.isfinite(value))


def is_longer(value: Any, bytes_max: int) -> bool:
    """Return whether the JSON text of `value` has more than `bytes_max` bytes, without building a huge text."""
    try:
        check(value, bytes_max=bytes_max)
    except ValueUnfit:
        return True
    return byte_length(encode(value)) > bytes_max


def json_type(value: Any) -> str:
    """Return the JSON type of a decoded value, as the operator `is_type` names it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, dict) else "array"


JSON_TYPES = ("null", "boolean", "number", "string", "array", "object")


def byte_length(text: str) -> int:
    """Return the number of bytes of `text` in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def printable(text: str) -> str:
    """Return `text` with U+FFFD in place of NUL and lone surrogates, which databases and UTF-8 cannot hold."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNPRINTABLE.sub("\ufffd", text)


_UNPRINTABLE = re.compile("[\0\ud800-\udfff]")


class _Check:
    """One pass over a value. It counts down the bytes that the value's JSON text may still take."""

    def __init__(self, depth_max: int, bytes_max: int | None) -> None:
        self._depth_max = depth_max
        self._bytes_max = bytes_max
        self._room: float = math.inf if bytes_max is None else bytes_max

    def value(self, value: Any, depth: int) -> None:
        if value is None or value is True or value is False:
            return
        if isinstance(value, str):
            self._text(value)
        elif isinstance(value, float):
            if not math.isfinite(value):
                raise ValueUnfit(f"{float(value)!r} is not a JSON number")
        elif isinstance(value, int):
            if not -_INT_BOUND < value < _INT_BOUND:
                raise ValueUnfit(_TOO_MANY_DIGITS)
            # A decimal digit takes fewer than 4 bits, so the text has at least this many digits.
            self._spend(value.bit_length() // 4)
        elif isinstance(value, dict):
            self._object(value, depth)
        elif isinstance(value, list | tuple):
            self._array(value, depth)
        else:
            raise ValueUnfit(f"a {type(value).__name__} is not JSON")

    def _text(self, text: str) -> None:
        if "\0" in text:
            raise ValueUnfit("a string contains NUL")
        if not text.isascii() and _UNPRINTABLE.search(text):
            raise ValueUnfit("a string contains a lone surrogate")
        self._spend(len(text))

    def _object(self, value: dict[Any, Any], depth: int) -> None:
        self._enter(depth, len(value))
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueUnfit(f"the key {key!r:.100} is not a string")
            try:
                self._text(key)
                self.value(item, depth + 1)
            except ValueUnfit as unfit:
                raise unfit.within(key) from None

    def _array(self, value: list[Any] | tuple[Any, ...], depth: int) -> None:
        self._enter(depth, len(value))
        for index, item in enumerate(value):
            try:
                self.value(item, depth + 1)
            except ValueUnfit as unfit:
                raise unfit.within(index) from None

    def _enter(self, depth: int, count: int) -> None:
        if depth > self._depth_max:
            raise ValueUnfit(_too_deep(self._depth_max))
        self._spend(count)

    def _spend(self, byte_count: int) -> None:
        self._room -= byte_count
        if self._room < 0:
            raise ValueUnfit(f"the value has more than {self._bytes_max} bytes")


def _too_deep(depth_max: int) -> str:
    return f"nested deeper than {depth_max} levels"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {printable(key)!r:.100} appears twice in one object")
            seen.add(key)
    return made


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text:.40} is out of range")
    return number


def _short_integer(text: str) -> int:
    if len(text) > INT_DIGITS_MAX + text.startswith("-"):
        raise ValueError(_TOO_MANY_DIGITS)
    return int(text)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _plainly(error: ValueError) -> str:
    """Return the message of `error`, or a plainer one for Python's limit on digits."""
    message = str(error)
    return _TOO_MANY_DIGITS if "integer string conversion" in message else message


def _closes(text: str) -> bool:
    """Return whether the brackets match in `text`, which nests too deep for the decoder."""
    open_marks: list[str] = []
    for token in _STRUCTURE.finditer(text):
        mark = token.group()
        if mark in "[{":
            open_marks.append(mark)
        elif mark in "]}" and (not open_marks or open_marks.pop() + mark not in ("[]", "{}")):
            return False
    return not open_marks


def _pointer_below(text: str, depth_max: int) -> str:
    """Return the pointer to the first value deeper than `depth_max` in `text`, which is too deep for the decoder."""
    path: list[str | int] = []
    key = ""
    for token in _STRUCTURE.finditer(text):
        mark = token.group()
        if mark in "[{":
            if len(path) == depth_max:
                break
            path.append(0 if mark == "[" else "")
        elif mark in "]}":
            del path[-1:]
        elif mark == "," and path and isinstance(path[-1], int):
            path[-1] += 1
        elif mark == ":" and path and isinstance(path[-1], str):
            path[-1] = key
        elif mark.startswith('"'):
            key = printable(mark[1:-1])
    return pointer(*path)


# The closing quote is optional. If it were required, the cost of an unterminated string would grow with the square of
# its length.
_STRUCTURE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{},:]')


def _strict(**more: Any) -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_refuse_constant, **more)


_strict_decoder = _strict()
_counting_decoder = _strict(parse_int=_short_integer)


def _decoder() -> json.JSONDecoder:
    """Return a decoder that refuses long integers. Python's own limit is enough unless a tool has changed it."""
    return _strict_decoder if sys.get_int_max_str_digits() == INT_DIGITS_MAX else _counting_decoder


_plain_decoder = json.JSONDecoder()


def _encoding(*, sort_keys: bool) -> Callable[[Any], str]:
    """Return a function that encodes a value as compact JSON."""
    # A cycle exceeds DEPTH_MAX, so `check` has refused it, and the encoder does not have to detect it.
    encoder = json.JSONEncoder(
        ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"), sort_keys=sort_keys
    )
    make_in_c: Any = getattr(json.encoder, "c_make_encoder", None)
    if make_in_c is None:
        return encoder.encode
    # JSONEncoder creates this private object for each value. That takes longer than encoding a small value.
    indent, skip_keys, allow_nan = None, False, False
    encode_in_c = make_in_c(
        None, encoder.default, json.encoder.encode_basestring, indent, ":", ",", sort_keys, skip_keys, allow_nan
    )
    return lambda value: "".join(encode_in_c(value, 0))


_encode = _encoding(sort_keys=False)
_encode_sorted = _encoding(sort_keys=True)
