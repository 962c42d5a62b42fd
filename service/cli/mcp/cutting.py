"""Shorten JSON values so that a result fits into the context of an assistant. Pure functions.

A text and an array keep their beginning. An object keeps as many members as fit, each shortened if necessary. A number
with too many digits becomes a text. A note says where a shortened value is, how large it is and which part is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.core import codec
from service.core.syntax.pointer import pointer

RESULT_CHARS_MAX = 24_000
"""The most characters of JSON in a result, without its notes."""
PART_CHARS_MIN = 200
"""If each member of an object would get fewer characters than this, the last members are omitted instead."""
NOTES_MAX = 20
PLACE_CHARS_MAX = 200


class Cutter:
    """Shortens values and collects the notes about them."""

    def __init__(self) -> None:
        self._notes: list[str] = []

    def notes(self) -> list[str]:
        """Return the first NOTES_MAX notes. If there are others, one more note counts them."""
        more = len(self._notes) - NOTES_MAX
        return [*self._notes[:NOTES_MAX], *([f"and {more:,} more places"] if more > 0 else [])]

    def fit(self, value: Any, chars_max: int, place: str = "", offset: int = 0) -> Any:
        """Return `value` shortened to about `chars_max` characters of JSON.

        `place` is the JSON Pointer of `value`, for the notes. `offset` is how many of its characters, elements or
        members to skip.
        """
        text = codec.encode(value)
        if not offset and len(text) <= chars_max:
            return value
        match value:
            case dict():
                return self._fit_object(list(value.items())[offset:], chars_max, place, (offset, len(value)))
            case list():
                return self._fit_array(value[offset:], chars_max, place, (offset, len(value)))
            case str():
                return self._fit_text(value, chars_max, place, offset)
        return self._fit_text(text, chars_max, place, offset)  # A number with more digits than fit.

    def fit_items(self, items: Sequence[Any], place: str) -> list[Any]:
        """Return all `items`, shortened so that together they fit into a result."""
        sizes = [len(codec.encode(item)) for item in items]
        share = fair_share(sizes, RESULT_CHARS_MAX)
        return [self.fit(item, share, place + pointer(index)) for index, item in enumerate(items)]

    def _fit_object(
        self, members: list[tuple[str, Any]], chars_max: int, place: str, whole: tuple[int, int]
    ) -> dict[str, Any]:
        sizes = [len(codec.encode(name)) + len(codec.encode(value)) + 2 for name, value in members]
        share = fair_share(sizes, chars_max)
        if share < PART_CHARS_MIN:
            share = PART_CHARS_MIN
            members = members[: _count_within(sizes, share, chars_max)]
        self._note(place, "an object of {:,} members", whole, len(members))
        return {
            name[:share]: self.fit(value, max(1, share - len(codec.encode(name))), place + pointer(name))
            for name, value in members
        }

    def _fit_array(self, elements: list[Any], chars_max: int, place: str, whole: tuple[int, int]) -> list[Any]:
        sizes = [len(codec.encode(element)) + 1 for element in elements]
        count = max(1, _count_within(sizes, chars_max, chars_max))
        self._note(place, "an array of {:,} elements", whole, min(count, len(elements)))
        return [
            self.fit(element, chars_max, place + pointer(whole[0] + index))
            for index, element in enumerate(elements[:count])
        ]

    def _fit_text(self, text: str, chars_max: int, place: str, offset: int) -> str:
        part = text[offset : offset + chars_max]
        while len(codec.encode(part)) > max(chars_max, 8):  # Escapes take more room than the characters.
            part = part[: len(part) * 3 // 4]
        self._note(place, "a text of {:,} characters", (offset, len(text)), len(part))
        return part

    def _note(self, place: str, what: str, whole: tuple[int, int], count: int) -> None:
        offset, total = whole
        if count == total:
            return
        where = place if len(place) <= PLACE_CHARS_MAX else place[:PLACE_CHARS_MAX] + "…"
        shown = f"{offset:,} to {offset + count - 1:,} are shown" if count else "none is shown"
        self._notes.append(f"{where or '/'}: {what.format(total)}, of which {shown}")


def fair_share(sizes: Sequence[int], total: int) -> int:
    """Return the largest bound for which the sizes, each cut to the bound, add up to at most `total`."""
    for index, size in enumerate(sorted(sizes)):
        share = total // (len(sizes) - index)
        if size > share:
            return share
        total -= size
    return max(sizes, default=0)


def _count_within(sizes: Sequence[int], share: int, total: int) -> int:
    """Return how many values fit into `total` if each takes at most `share`."""
    for count, size in enumerate(sizes):
        total -= min(size, share)
        if total < 0:
            return count
    return len(sizes)
