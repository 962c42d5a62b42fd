r"""How a tag is written in a filter: `key:value`, the first colon being the one that ends the key.

A colon in the key is written `\:` and a backslash before a colon or a backslash `\\`; the value stands as it is.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_WRITTEN = re.compile(r"((?:\\[\\:]|\\(?![\\:])|[^\\:])*):(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\([\\:])")


class Tag(NamedTuple):
    key: str
    value: str


def tag_of(text: str) -> Tag | None:
    """The tag that `text` writes; None where it writes none."""
    found = _WRITTEN.fullmatch(text)
    return None if found is None else Tag(_ESCAPE.sub(r"\1", found[1]), found[2])
