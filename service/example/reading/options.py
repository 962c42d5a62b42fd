"""The caller's options for reading a CSV file, and the error for a file that cannot be read without them."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from service.core.tool import JsonObject
from service.example.graph import ALLOWED, MODES

TAB_NAMES = {"tab": "\t", "\\t": "\t"}
"""Ways to write a tab as text."""


class Uncertain(ValueError):
    """The error if a table cannot be read with certainty. The message names the line and the option that helps."""

    def __init__(self, line: int, problem: str, remedy: str) -> None:
        super().__init__(f"line {line}: {problem}; {remedy}")


@dataclass(frozen=True, slots=True)
class Options:
    """The options. An option that is None is derived from the file."""

    delimiter: str | None = None
    quote: str | None = None
    """The quote character. If empty, no text is quoted and quotes are ordinary characters."""
    encoding: str | None = None
    header: bool | None = None
    skip: int | None = None
    """The number of lines before the table."""

    @classmethod
    def of(cls, given: JsonObject) -> Options:
        """Read the options from a state. Raise ValueError if one is invalid."""
        for name, message in _faults_in_options(given):
            raise ValueError(f"`{name}` is {given[name]!r}; it {message}")
        encoding, delimiter = given.get("encoding"), given.get("delimiter")
        return cls(
            TAB_NAMES.get(delimiter, delimiter) if delimiter is not None else None,
            given.get("quote"),
            None if encoding is None else known_encoding(encoding),
            given.get("header"),
            given.get("skip"),
        )


def faults(asked: JsonObject) -> list[tuple[str, str]]:
    """Return the faults in the caller's wishes: for each, the name of the field and what it must be."""
    found = []
    if asked.get("mode", "mend") not in MODES:
        found.append(("mode", f"must be one of {', '.join(MODES)}"))
    if not set(asked.get("allow", [])) <= set(ALLOWED):
        found.append(("allow", f"must be any of {', '.join(ALLOWED)}"))
    return found + _faults_in_options(asked.get("options", {}))


def _faults_in_options(given: JsonObject) -> list[tuple[str, str]]:
    delimiter, quote, encoding = given.get("delimiter"), given.get("quote"), given.get("encoding")
    header, skip = given.get("header"), given.get("skip")
    found = []
    if delimiter is not None and delimiter not in TAB_NAMES and not _is_mark(delimiter):
        found.append(("delimiter", "must be one ASCII character that is no line end, or `tab`"))
    if quote not in (None, "") and not _is_mark(quote):
        found.append(("quote", "must be one ASCII character that is no line end, or empty where nothing is quoted"))
    if delimiter is not None and delimiter == quote:
        found.append(("quote", "must be another character than the delimiter"))
    if encoding is not None and known_encoding(encoding) is None:
        found.append(("encoding", "must be the name of an encoding that Python knows, such as utf-8 or windows-1252"))
    if not (header is None or isinstance(header, bool)):
        found.append(("header", "must be true or false"))
    if not (skip is None or (type(skip) is int and skip >= 0)):
        found.append(("skip", "must be a number of lines, from 0"))
    return found


def known_encoding(name: object) -> str | None:
    """Return Python's name of a text encoding, or None if it is unknown."""
    try:
        if not isinstance(name, str) or not name.isascii() or "\0" in name:
            return None
        found = codecs.lookup(name.strip())
        b"a".decode(found.name)  # This refuses codecs that do not encode text, such as hex.
    except (LookupError, ValueError):
        return None
    return {"iso8859-1": "latin-1", "ascii": "utf-8", "utf-8-sig": "utf-8"}.get(found.name, found.name)


def _is_mark(mark: object) -> bool:
    return isinstance(mark, str) and len(mark) == 1 and mark.isascii() and mark not in "\r\n\0\x1d\x1e\x1f"
