"""Collect the faults of a document in one pass, which goes on after each fault."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from service.core import codec
from service.core.errors import Fault
from service.core.syntax import path
from service.core.syntax.numbers import NUMBER_MAX
from service.core.syntax.pointer import pointer
from service.core.validation import spelling
from service.core.validation.spelling import closest_field, fields_hint

FAULTS_MAX = 1000
FAULTS_LENGTH_MAX = 2**20
"""The characters of all faults together after which no fault is added: one long name may appear in every pointer."""
_COMPARISONS_MAX = 400
"""The most comparisons of names for the suggestions in one document. Each takes up to a millisecond."""

Place = tuple[str | int, ...]
"""A place in the document, as the segments of a JSON Pointer. The pointer itself is built only for a fault."""


class Faults:
    """The faults found so far, and the checks that all parts of a document share."""

    def __init__(self) -> None:
        self.found: list[Fault] = []
        self._length = 0
        self._comparisons = 0

    def add(self, at: Place, message: str) -> None:
        """Add a fault, unless FAULTS_MAX or FAULTS_LENGTH_MAX is reached."""
        if self.found and (len(self.found) >= FAULTS_MAX or self._length >= FAULTS_LENGTH_MAX):
            return
        fault = Fault(pointer(*at), message)
        self._length += len(fault.pointer) + len(message)
        self.found.append(fault)

    def is_object(self, value: Any, at: Place, what: str, known: Collection[str], or_else: str = "") -> bool:
        """Return whether `value` is an object. Add a fault if it is not, and one for each field that is not in `known`.

        In the messages, `what` names the value, and `or_else` what is allowed instead of an object.
        """
        if not isinstance(value, dict):
            self.add(at, f"{what} must be {or_else}an object")
            return False
        for field in value:
            if field not in known:
                hint = self.closest(field, known, closest_field) or fields_hint(known)
                self.add((*at, field), f"{what} has no field {field!r:.200}{hint}")
        return True

    def text(self, value: Any, at: Place, what: str) -> str:
        """Return `value`, or "" if it is no string. Add a fault if it is no string, empty or unfit for a state."""
        if not isinstance(value, str):
            self.add(at, f"{what} must be a string")
            return ""
        if not value:
            self.add(at, f"{what} must not be empty")
        self.fits(value, at)
        return value

    def path(self, value: Any, at: Place) -> str:
        """Return `value`, or an empty string if it is no string. Add a fault if it is no path in a state."""
        if not isinstance(value, str):
            self.add(at, "a path must be a string")
            return ""
        if wrong := path.fault_in(value):
            self.add(at, wrong)
        return value

    def integer(self, value: Any, at: Place, least: int = 1) -> int:
        if type(value) is not int or not least <= value <= NUMBER_MAX:
            self.add(at, f"it must be an integer from {least} to {NUMBER_MAX}")
            return least
        return value

    def seconds(self, value: Any, at: Place, *, least: float = 0, most: float, above: bool = False) -> int | float:
        """Return `value`, or add a fault and return 1 if it is no number from `least` to `most`.

        With `above`, `least` itself is a fault as well.
        """
        if type(value) not in (int, float) or not least <= value <= most or (above and value == least):
            self.add(
                at, f"it must be a number {'above' if above else 'from'} {least} {'up ' if above else ''}to {most}"
            )
            return 1
        number: int | float = value
        return number

    def fits(self, value: Any, at: Place) -> None:
        """Add a fault if `value` cannot be part of a state."""
        try:
            codec.check(value)
        except codec.ValueUnfit as unfit:
            self.add((*at, *unfit.path), unfit.message)

    def closest(
        self, name: str, names: Collection[str], find: Callable[[str, Collection[str]], str] = spelling.closest
    ) -> str:
        """Return the hint of `find`, or an empty string if the document has used up its comparisons."""
        compared = min(len(names), spelling.COMPARED_MAX)
        if len(name) > spelling.NAME_CHARS_MAX or self._comparisons + compared > _COMPARISONS_MAX:
            return ""
        self._comparisons += compared
        return find(name, names)
