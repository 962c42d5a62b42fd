"""What is wrong with a document, gathered in one pass that goes on after each fault."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from service.core import codec, path, spelling
from service.core.codec import pointer
from service.core.errors import Fault
from service.core.spelling import closest_field

FAULTS_MAX = 1000
FAULTS_LENGTH_MAX = 2**20
"""Characters of all faults together: one long name may stand in every pointer."""
_COMPARISONS_MAX = 400
"""Names that misspelt ones are compared with, in all: each costs up to a millisecond."""
NUMBER_MAX = 2**63 - 1

Place = tuple[str | int, ...]
"""Where in the document: a pointer's segments. Most are never written out, and one may hold a long name."""


class Faults:
    """The faults so far, and the checks that every part of a document needs."""

    def __init__(self) -> None:
        self.found: list[Fault] = []
        self._length = 0
        self._comparisons = 0

    def add(self, at: Place, message: str) -> None:
        if self.found and (len(self.found) >= FAULTS_MAX or self._length >= FAULTS_LENGTH_MAX):
            return
        fault = Fault(pointer(*at), message)
        self._length += len(fault.pointer) + len(message)
        self.found.append(fault)

    def is_object(self, value: Any, at: Place, what: str, known: Collection[str], or_else: str = "") -> bool:
        """Whether `value` is an object, its fields then checked against those `known`."""
        if not isinstance(value, dict):
            self.add(at, f"{what} is {or_else}an object")
            return False
        for field in value:
            if field not in known:
                self.add((*at, field), f"{what} has no field {field!r:.200}{self.closest(field, known, closest_field)}")
        return True

    def text(self, value: Any, at: Place, what: str) -> str:
        """`value` as a string that is not empty."""
        if not isinstance(value, str):
            self.add(at, f"{what} is a string")
            return ""
        if not value:
            self.add(at, f"{what} is not empty")
        self.fits(value, at)
        return value

    def path(self, value: Any, at: Place) -> str:
        if not isinstance(value, str):
            self.add(at, "a path is a string")
            return ""
        if wrong := path.fault_in(value):
            self.add(at, wrong)
        return value

    def integer(self, value: Any, at: Place, least: int = 1) -> int:
        if type(value) is not int or not least <= value <= NUMBER_MAX:
            self.add(at, f"an integer from {least} to {NUMBER_MAX}")
            return least
        return value

    def seconds(self, value: Any, at: Place, *, least: float = 0, most: float, above: bool = False) -> int | float:
        """A number of seconds; `above`: of more than `least`."""
        if type(value) not in (int, float) or not least <= value <= most or (above and value == least):
            self.add(at, f"a number {'above' if above else 'from'} {least} {'up ' if above else ''}to {most}")
            return 1
        number: int | float = value
        return number

    def fits(self, value: Any, at: Place) -> None:
        """Refuse what no state could hold: it is compared with one, handed to a tool, or a key of it."""
        try:
            codec.check(value)
        except codec.ValueUnfit as unfit:
            self.add((*at, *unfit.path), unfit.message)

    def closest(
        self, name: str, names: Collection[str], find: Callable[[str, Collection[str]], str] = spelling.closest
    ) -> str:
        """The hint at a misspelling; bounded, since its cost grows with names × candidates."""
        compared = min(len(names), spelling.COMPARED_MAX)
        if len(name) > spelling.NAME_CHARS_MAX or self._comparisons + compared > _COMPARISONS_MAX:
            return ""
        self._comparisons += compared
        return find(name, names)
