"""The state of a run: JSON texts by top-level key, and the changes that a step makes.

A key that a step does not change is neither encoded nor stored again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from service.core import codec
from service.core.errors import StateInvalid
from service.core.syntax import path
from service.core.syntax.pointer import pointer


class Entry(NamedTuple):
    """The value of one top-level key."""

    text: str
    position: int
    """The key's place among all keys, so that a stored state keeps the order of its keys."""
    byte_length: int


class Changes(NamedTuple):
    """The top-level keys that a step sets, and those that it removes."""

    set: Mapping[str, Entry]
    unset: tuple[str, ...] = ()
    scalars: Mapping[str, Any] = {}
    """The decoded values of keys in `set` that are strings, numbers, booleans or null. Some may be missing."""


@dataclass(frozen=True, slots=True)
class State:
    """An immutable JSON object. `State.of` makes one; `changes_to` and `apply` derive the next one.

    It caches the strings, numbers, booleans and nulls that it has decoded.
    """

    entries: Mapping[str, Entry]
    _scalars: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """Decoded values that are immutable, so that a long text is not decoded at each step."""

    @classmethod
    def of(cls, value: dict[str, Any], bytes_max: int) -> State:
        """Make a state of `value`. Raise StateInvalid under the conditions of `changes_to`."""
        empty = cls({})
        return empty.apply(empty.changes_to(value, given={}, bytes_max=bytes_max))

    @property
    def byte_length(self) -> int:
        """The total number of bytes of all values as JSON in UTF-8, without the keys."""
        return sum([entry.byte_length for entry in self.entries.values()])

    def to_object(self) -> dict[str, Any]:
        """Return a fresh copy as a dict, which the caller may change."""
        known = self._scalars
        return {
            key: known[key] if key in known else self._decoded(key, entry.text) for key, entry in self.entries.items()
        }

    def _decoded(self, key: str, text: str) -> Any:
        if key in self._scalars:
            return self._scalars[key]
        value = codec.loads(text)
        if isinstance(value, _SCALARS):
            self._scalars[key] = value
        return value

    def to_text(self) -> str:
        """Return the whole state as JSON text, without decoding it."""
        members = (f"{codec.encode(key)}:{entry.text}" for key, entry in self.entries.items())
        return "{" + ",".join(members) + "}"

    def changes_to(self, after: dict[str, Any], given: Mapping[str, Any], bytes_max: int) -> Changes:
        """Return the changes that lead from this state to `after`.

        `given` has the values that the tool was called with. A scalar that is still the same object has not changed,
        so it is not encoded again. Raise StateInvalid if a state cannot hold one of the values, or if the compact JSON
        of `after` has more than `bytes_max` bytes in UTF-8.
        """
        changed: dict[str, Entry] = {}
        scalars: dict[str, Any] = {}
        free: int | None = None  # The first position after all others; computed when the first new key is found.
        size = len("{}") + max(len(after) - 1, 0)
        for key, value in after.items():
            old = self.entries.get(key) if isinstance(key, str) else None
            if old is not None and value is given.get(key, _ABSENT) and isinstance(value, _SCALARS):
                entry = old
            else:
                text = _encode_member(key, value, bytes_max)
                if old is None:
                    free = self._free_position() if free is None else free + 1
                entry = Entry(text, old.position if old else free or 0, codec.byte_length(text))
                if old is None or old.text != text:
                    name = _base(key)
                    changed[name] = entry
                    if type(value) in _SCALARS:
                        scalars[name] = value
            size += _key_length(key) + entry.byte_length
            if size > bytes_max:
                raise StateInvalid(f"the state has more than {bytes_max} bytes")
        is_complete = self.entries.keys() <= after.keys()
        unset = () if is_complete else tuple([key for key in self.entries if key not in after])
        return Changes(changed, unset, scalars)

    def _free_position(self) -> int:
        return 1 + max((entry.position for entry in self.entries.values()), default=-1)

    def changes_setting(self, key: str, text: str, bytes_max: int) -> Changes:
        """Return the changes that set `key` to the JSON `text`. Raise StateInvalid if the state would be invalid."""
        old = self.entries.get(key)
        if old is not None and old.text == text:
            return Changes({})
        if text.count("[") + text.count("{") >= codec.DEPTH_MAX:  # Fewer brackets cannot nest too deep.
            _encode_member(key, codec.loads(text), bytes_max)
        entry = Entry(text, old.position if old else self._free_position(), codec.byte_length(text))
        rest = (_member_length(other, kept) for other, kept in self.entries.items() if other != key)
        if len("{}") + sum(rest) + _member_length(key, entry) - len(",") > bytes_max:
            raise StateInvalid(f"the state has more than {bytes_max} bytes")
        return Changes({key: entry})

    def checked(self, changes: Changes, bytes_max: int) -> Changes:
        """Check `changes`, which another machine has computed, and return them with each value encoded anew.

        Raise StateInvalid if a state cannot hold one of the values, or if the state would be too large.
        """
        free = self._free_position()
        made: dict[str, Entry] = {}
        for key, entry in changes.set.items():
            try:
                text = _encode_member(key, codec.loads(entry.text), bytes_max)
            except (ValueError, TypeError, RecursionError) as error:
                raise StateInvalid(f"the value at {key!r:.200} is not JSON: {error}") from error
            old = self.entries.get(key)
            made[key] = Entry(text, free if old is None else old.position, codec.byte_length(text))
            free += old is None
        unset = tuple([key for key in self.entries if key in changes.unset and key not in made])
        after = {**self.entries, **made}
        if len("{}") + sum(_member_length(key, after[key]) for key in after if key not in unset) - 1 > bytes_max:
            raise StateInvalid(f"the state has more than {bytes_max} bytes")
        return Changes(made, unset)

    def look_up(self, place: str, decoded: dict[str, Any] | None = None) -> tuple[Any, str]:
        """Return the value at the path `place`, or MISSING and a description of what is there instead.

        `decoded` caches values by top-level key across calls.
        """
        decoded = {} if decoded is None else decoded
        first, *rest = path.segments(place)
        if first not in self.entries:
            return path.MISSING, _names(self.entries)
        if first in decoded:
            value = decoded[first]
        else:
            value = decoded[first] = self._decoded(first, self.entries[first].text)
        for depth, segment in enumerate(rest):
            inner = path.step_into(value, segment)
            if inner is path.MISSING:
                return inner, f"{_contents(value)} at {pointer(first, *rest[:depth])!r:.200}"
            value = inner
        return value, ""

    def has_same_text(self, place: str, other: str) -> bool:
        """Return whether two paths name top-level keys whose values have the same JSON text."""
        texts = [self.entries[keys[0]].text for keys in map(path.segments, (place, other)) if self._is_top_level(keys)]
        return len(texts) == 2 and texts[0] == texts[1]

    def _is_top_level(self, keys: list[str]) -> bool:
        return len(keys) == 1 and keys[0] in self.entries

    def with_text(self, key: str, text: str) -> State:
        """Return this state with the JSON `text` at `key`, without checking the size of the new state."""
        return self.apply(Changes({key: Entry(text, self._free_position(), codec.byte_length(text))}))

    def apply(self, changes: Changes) -> State:
        """Return the state after `changes`."""
        entries = {**self.entries, **changes.set}
        scalars = {**self._scalars, **changes.scalars}
        for key in changes.set:
            if key not in changes.scalars:
                scalars.pop(key, None)
        for key in changes.unset:
            del entries[key]
            scalars.pop(key, None)
        return State(entries, scalars)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)


_ABSENT = object()
_SCALARS = (str, int, float, bool, type(None))


def _member_length(key: str, entry: Entry) -> int:
    """Return the number of bytes of an encoded member, including the comma after it."""
    return _key_length(key) + len(",") + entry.byte_length


def _key_length(key: str) -> int:
    """Return the number of bytes of an encoded key, including the colon after it."""
    if key.isascii() and key.isidentifier():
        return len(key) + len('"":')  # No character of an identifier is escaped.
    return codec.byte_length(codec.encode(key)) + len(":")


def _base(key: str) -> str:
    """Return `key` as a plain `str`: calling `str` on a member of a str Enum would return its name."""
    return str.__str__(key)


def _encode_member(key: Any, value: Any, bytes_max: int) -> str:
    if type(key) is str and codec.is_fit_scalar(key) and codec.is_fit_scalar(value):
        return codec.encode(value)
    try:
        # The state itself is level 1, so a member's value is level 2.
        codec.check({key: value}, bytes_max=bytes_max)
        return codec.encode(value)
    except codec.ValueUnfit as unfit:
        raise StateInvalid(f"{unfit.message}, at {unfit.pointer or '/'}") from unfit


def _contents(value: Any) -> str:
    if isinstance(value, dict):
        return _names(value)
    return f"an array of {len(value)}" if isinstance(value, list) else f"a {codec.json_type(value)}"


def _names(keys: Collection[str], shown_max: int = 20) -> str:
    if not keys:
        return "nothing"
    shown = ", ".join(f"{key!r:.100}" for key in islice(keys, shown_max))
    return shown if len(keys) <= shown_max else f"{shown} and {len(keys) - shown_max} more"
