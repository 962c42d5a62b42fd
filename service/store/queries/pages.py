"""Pages are bounded by bytes as well as by their items."""

from __future__ import annotations

from collections.abc import Iterable

PAGE_BYTES_MAX = 4 * 2**20
"""A page of steps or of lines ends early when what it tells grows larger."""


def cut(sizes: Iterable[tuple[int, int]], first: int, last: int) -> int:
    """The last number, up to `last`, with which a page is still of a decent size; `first` always fits."""
    total = 0
    for number, length in sorted(map(tuple, sizes)):
        total += length
        if total > PAGE_BYTES_MAX and number > first:
            return number - 1
    return last
