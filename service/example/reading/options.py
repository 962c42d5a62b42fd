"""What a caller says about a CSV file, and the error where the file alone does not say it."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from service.core.tool import JsonObject


class Uncertain(ValueError):
    """The table cannot be read with certainty; the message names the line and the option that settles it."""

    def __init__(self, line: int, problem: str, remedy: str) -> None:
        super().__init__(f"line {line}: {problem}; {remedy}")


@dataclass(frozen=True, slots=True)
class Options:
    """None where the file has to say it itself."""

    delimiter: str | None = None
    quote: str | None = None
    """Empty: no text is quoted, and every quote is a character like others."""
    encoding: str | None = None
    header: bool | None = None
    skip: int | None = None
    """Lines before the table."""

    @classmethod
    def of(cls, given: JsonObject) -> Options:
        """The options that a state carries; ValueError for one that makes no sense."""
        delimiter, quote, encoding = given.get("delimiter"), given.get("quote"), given.get("encoding")
        header, skip = given.get("header"), given.get("skip")
        if delimiter is not None and not _is_mark(delimiter):
            raise ValueError(f"`delimiter` is {delimiter!r}; it is one ASCII character, and no quote or line end")
        if quote not in (None, "") and not _is_mark(quote):
            raise ValueError(f"`quote` is {quote!r}; it is one ASCII character, or empty where nothing is quoted")
        if delimiter is not None and delimiter == quote:
            raise ValueError("`delimiter` and `quote` are the same character")
        if not (header is None or isinstance(header, bool)):
            raise ValueError(f"`header` is {header!r}; it is true or false")
        if not (skip is None or (type(skip) is int and skip >= 0)):
            raise ValueError(f"`skip` is {skip!r}; it is a number of lines, from 0")
        return cls(delimiter, quote, None if encoding is None else known_encoding(encoding), header, skip)


def known_encoding(name: object) -> str:
    """Python's name of an encoding of text; ValueError where it knows none of that name."""
    try:
        if not isinstance(name, str) or "\0" in name:
            raise LookupError
        found = codecs.lookup(name.strip())
        b"a".decode(found.name)  # Refuses codecs that are none of text, such as hex.
    except (LookupError, ValueError, AssertionError, TypeError):
        raise ValueError(f"`encoding` is {name!r}, which is no encoding that Python knows") from None
    return {"iso8859-1": "latin-1", "ascii": "utf-8", "utf-8-sig": "utf-8"}.get(found.name, found.name)


def _is_mark(mark: object) -> bool:
    return isinstance(mark, str) and len(mark) == 1 and mark.isascii() and mark not in "\r\n\0\x1d\x1e\x1f"
