"""Describe why a text is not JSON, and where its fault is."""

from __future__ import annotations

import json

SHOWN_CHARS_MAX = 20

_EXPECTED = {
    "Expecting value": "a value is expected",
    "Expecting property name enclosed in double quotes": "a key in double quotes is expected",
    "Expecting ':' delimiter": "a colon is expected",
    "Expecting ',' delimiter": "a comma or a closing bracket is expected",
    "Illegal trailing comma before end of object": "a trailing comma is not allowed",
    "Illegal trailing comma before end of array": "a trailing comma is not allowed",
    "Extra data": "there is more text after the end of the value",
    "Unterminated string starting at": "a string is not closed",
    "Invalid control character at": r"a control character in a string must be written as an escape like \n",
    "Invalid \\escape: ": "a backslash does not begin a valid escape",
    "Invalid \\escape": "a backslash does not begin a valid escape",
    "Invalid \\uXXXX escape": r"a \u is not followed by four hexadecimal digits",
}
_WHITE = " \t\n\r"


def reason(error: json.JSONDecodeError) -> str:
    """Return what is wrong, at which line and column, and the text found there."""
    if not error.doc.strip(_WHITE):
        return "it is empty"
    if error.doc.startswith("\ufeff"):
        return "it begins with a byte order mark, which JSON does not allow"
    expected = _EXPECTED.get(error.msg, error.msg)
    rest = error.doc[error.pos :].lstrip(_WHITE)
    shown = f"{rest[:SHOWN_CHARS_MAX]!a}" + ("…" if len(rest) > SHOWN_CHARS_MAX else "")
    return f"{expected} at line {error.lineno}, column {error.colno}, {f'before {shown}' if rest else 'at the end'}"
