"""Pages: bounded by bytes as well as by the number of their items."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from service.store.rows.records import Page

PAGE_BYTES_MAX = 4 * 2**20
"""A page of steps or of lines ends early beyond this size."""


def cut(sizes: Iterable[tuple[int, int]], first: int, last: int) -> int:
    """Return the highest number up to `last` at which a page stays within PAGE_BYTES_MAX; at least `first`.

    `sizes` are pairs of a number and a size in bytes.
    """
    total = 0
    for number, length in sorted(map(tuple, sizes)):
        total += length
        if total > PAGE_BYTES_MAX and number > first:
            return number - 1
    return last


def page_of(items: list[Any], limit: int, cursor_of: Callable[[Any], Any]) -> Page:
    """Return the first `limit` of `items`; the query asked for one more, which shows that there is another page."""
    kept = tuple(items[:limit])
    return Page(kept, cursor_of(kept[-1]) if len(items) > limit else None)
