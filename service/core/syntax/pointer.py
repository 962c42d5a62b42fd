"""JSON Pointers (RFC 6901): the places in a document that faults are reported at."""

from __future__ import annotations


def pointer(*segments: str | int) -> str:
    """Return the JSON Pointer (RFC 6901) made of `segments`."""
    return "".join("/" + str(segment).replace("~", "~0").replace("/", "~1") for segment in segments)
