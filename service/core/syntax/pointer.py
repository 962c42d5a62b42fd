"""JSON Pointers (RFC 6901), which name the place of a fault in a document."""

from __future__ import annotations


def pointer(*segments: str | int) -> str:
    """Return the JSON Pointer that consists of `segments`, which it escapes."""
    return "".join("/" + str(segment).replace("~", "~0").replace("/", "~1") for segment in segments)
