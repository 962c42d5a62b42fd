"""Read the headers of W3C Trace Context, level 1: https://www.w3.org/TR/trace-context-1/"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

MEMBERS_MAX = 32
_PARENT = re.compile("(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KEY = "[a-z0-9][_0-9a-z*/-]{0,255}|[a-z0-9][_0-9a-z*/-]{0,240}@[a-z][_0-9a-z*/-]{0,13}"
_MEMBER = re.compile(f"({_KEY})=([ -+\\--<>-~]{{0,255}}[!-+\\--<>-~])")
_TEXT_CHARS_MAX = 8192


class Trace(NamedTuple):
    """The trace that a run belongs to."""

    parent: str
    """A `traceparent` of version 00."""
    state: str | None = None
    """A `tracestate`, or None if the request has no valid one."""


def read_trace(parents: Sequence[str], states: Sequence[str] = ()) -> Trace | None:
    """Return the trace that the headers of a request name, or None if it has not exactly one valid `traceparent`.

    `parents` are the values of all `traceparent` headers of the request, and `states` those of all its `tracestate`
    headers. Malformed headers are treated as missing.
    """
    if len(parents) != 1 or len(parents[0]) > _TEXT_CHARS_MAX:
        return None
    found = _PARENT.fullmatch(parents[0].strip(" \t"))
    # A later version may add fields, and flags whose meaning is not known here. Both are dropped.
    if found is None or (found[1] == "00" and found[5] is not None):
        return None
    flags = found[4] if found[1] == "00" else f"{int(found[4], 16) & 1:02x}"
    return Trace(f"00-{found[2]}-{found[3]}-{flags}", _state(",".join(states)))


def _state(text: str) -> str | None:
    """Return the members of a `tracestate`.

    Return None if it is too long, or if it has no members, too many, malformed ones or repeated keys.
    """
    if len(text) > _TEXT_CHARS_MAX:
        return None
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    found = [_MEMBER.fullmatch(member) for member in members]
    keys = {match[1] for match in found if match is not None}
    if not members or len(members) > MEMBERS_MAX or len(keys) < len(members):
        return None
    return ",".join(members)
