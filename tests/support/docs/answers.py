"""Compare the answers that the documentation shows with the answers of a server."""

from __future__ import annotations

import json
import re
from typing import Any

ANYTHING = "…"
"""In an answer: any text; as the last element, more elements; as a key, more keys."""
_VOLATILE = [
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "RUN"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "GRAPH"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"), "TIME"),
]


def settled(text: str) -> str:
    """Return `text` with a fixed word in place of each id and each time."""
    for pattern, word in _VOLATILE:
        text = pattern.sub(word, text)
    return text


def difference(shown: Any, given: Any, at: str = "") -> str | None:
    """Return where `given` is not what the documentation shows, or None."""
    if shown == ANYTHING:
        return None
    if isinstance(shown, dict) and isinstance(given, dict):
        names = set(shown) - {ANYTHING}
        if names - set(given) or (ANYTHING not in shown and set(given) - names):
            return f"{at or '/'} has {sorted(given)}"
        return _first(difference(shown[name], given[name], f"{at}/{name}") for name in names)
    if isinstance(shown, list) and isinstance(given, list):
        if shown[-1:] == [ANYTHING]:
            shown, given = shown[:-1], given[: len(shown) - 1]
        if len(shown) != len(given):
            return f"{at or '/'} has {len(given)} elements"
        return _first(difference(*pair, f"{at}/{index}") for index, pair in enumerate(zip(shown, given, strict=True)))
    if at.endswith("_ms"):
        return None if isinstance(given, int | float) else f"{at} is {given!r}"
    if isinstance(shown, str) and isinstance(given, str):
        shown, given = settled(shown), settled(given)
    return None if type(shown) is type(given) and shown == given else f"{at or '/'} is {given!r}"


def _first(found: Any) -> str | None:
    return next(filter(None, found), None)


def pretty(value: Any, indent: str = "", width: int = 116) -> str:
    """Return JSON text in which whatever fits on a line stands on one."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(flat) <= width or not isinstance(value, dict | list) or not value:
        return flat
    inner = indent + "  "
    if isinstance(value, dict):
        parts = [f"{inner}{json.dumps(k, ensure_ascii=False)}: {pretty(v, inner, width)}" for k, v in value.items()]
        return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
    return "[\n" + ",\n".join(inner + pretty(each, inner, width) for each in value) + f"\n{indent}]"
