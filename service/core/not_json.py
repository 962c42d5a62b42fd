"""What is wrong with a text that is no JSON, in words and with its place."""

from __future__ import annotations

import json

SHOWN_CHARS_MAX = 20

_EXPECTED = {
    "Expecting value": "a value is expected",
    "Expecting property name enclosed in double quotes": "a key in double quotes is expected",
    "Expecting ':' delimiter": "a colon is expected",
    "Expecting ',' delimiter": "a comma or a closing bracket is expected",
    "Illegal trailing comma before end of object": "there is a comma too many",
    "Illegal trailing comma before end of array": "there is a comma too many",
    "Extra data": "there is more after the end of the value",
    "Unterminated string starting at": "a string begins that has no end",
    "Invalid control character at": r"a control character stands in a string, where it is written as an escape like \n",
    "Invalid \\escape: ": "a backslash begins no escape",
    "Invalid \\escape": "a backslash begins no escape",
    "Invalid \\uXXXX escape": r"a \u is not followed by four hexadecimal digits",
}
_WHITE = " \t\n\r"


def reason(error: json.JSONDecodeError) -> str:
    """What is wrong, where, and what stands there instead."""
    if not error.doc.strip(_WHITE):
        return "it is empty"
    if error.doc.startswith("\ufeff"):
        return "a byte order mark begins it, and JSON has none"
    expected = _EXPECTED.get(error.msg, error.msg)
    rest = error.doc[error.pos :].lstrip(_WHITE)
    shown = f"{rest[:SHOWN_CHARS_MAX]!a}" + ("…" if len(rest) > SHOWN_CHARS_MAX else "")
    return f"{expected} at line {error.lineno}, column {error.colno}, {f'before {shown}' if rest else 'where it ends'}"
