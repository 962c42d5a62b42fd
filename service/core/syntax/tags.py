r"""The syntax of a tag in a filter: `key:value`, where the first unescaped colon ends the key.

In the key, a colon is written `\:`. A backslash is written `\\` if it stands before a colon, an exclamation mark or
another backslash. An exclamation mark at the beginning is written `\!`, because in a filter it means "exclude". The
value has no escapes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_WRITTEN = re.compile(r"((?:\\[\\:!]|\\(?![\\:!])|[^\\:])*):(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\([\\:!])")


class Tag(NamedTuple):
    key: str
    value: str


def tag_of(text: str) -> Tag | None:
    """Parse a tag; return None if `text` is not one."""
    found = _WRITTEN.fullmatch(text)
    return None if found is None else Tag(_ESCAPE.sub(r"\1", found[1]), found[2])
