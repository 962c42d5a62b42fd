"""Pages: bounded by bytes as well as by the number of their items."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from service.core.errors import Invalid
from service.store.database.clock import shown
from service.store.rows.records import Page

PAGE_BYTES_MAX = 4 * 2**20
"""A page ends before its items have more bytes than this, but after at least one item."""


_PLACE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z)/(.+)", re.DOTALL)


class Place(NamedTuple):
    """The place of a run in the order of creation. It remains valid when the run is deleted."""

    created_at: str
    run_id: str

    @classmethod
    def of(cls, created_at: Any, run_id: str) -> Place:
        return cls(shown(created_at) or "", run_id)

    @classmethod
    def read(cls, cursor: str) -> Place:
        """Return the place that `cursor` names. Raise Invalid if it names none."""
        found = _PLACE.fullmatch(cursor)
        if found is None or not _is_time(found[1]):
            raise Invalid.at("/cursor", "must be the `next_cursor` of an earlier page")
        return cls(found[1], found[2])

    @property
    def cursor(self) -> str:
        return f"{self.created_at}/{self.run_id}"


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def cut(sizes: Iterable[tuple[int, int]], first: int, last: int, bytes_max: int | None = None) -> int:
    """Return the number of the last item on a page of at most `bytes_max` bytes: at least `first`, at most `last`.

    `sizes` are pairs of a number and a size in bytes. `bytes_max` is PAGE_BYTES_MAX if it is left out.
    """
    total = 0
    room = PAGE_BYTES_MAX if bytes_max is None else bytes_max
    for number, length in sorted(map(tuple, sizes)):
        total += length
        if total > room and number > first:
            return number - 1
    return last


def page_of(items: list[Any], limit: int, cursor_of: Callable[[Any], Any]) -> Page:
    """Return a page of the first `limit` of `items`. If there is one more item, there is another page."""
    kept = tuple(items[:limit])
    return Page(kept, cursor_of(kept[-1]) if len(items) > limit else None)
