"""Split the lines of a CSV file into records, and refuse lines that are not records of the table.

Quotes make lines uncertain, since one quote too many swallows all following lines. So a quoted text over several lines
is accepted only if it is closed properly, and if its lines do not look like records themselves.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from service.example.reading.dialect import VALUE, Dialect, is_blank, parse
from service.example.reading.options import Uncertain

TEXT_LINES_MAX = 5000
TEXT_CHARS_MAX = 4 << 20
"""A quoted text with more characters or lines counts as never closed."""
PATTERN_RECORDS = 200
PATTERN_SHARE = 0.95
REFUSED_SHARE_MAX = 0.5
BLANK = "a blank line"


_UNDECODED = re.compile("[\udc80-\udcff]")


class Line(NamedTuple):
    number: int
    text: str
    """The text without its line end. A byte that is not UTF-8 is represented by a lone surrogate (PEP 383)."""
    end: str = "\n"


@dataclass(frozen=True, slots=True)
class Refused:
    """A line, or a record of several lines, that is refused as a row of the table, with the reason."""

    line: int
    text: str
    reason: str


class Scanner:
    """A reader of lines that separates records from refused lines.

    The caller iterates over the lines, and calls `take` for each line that may need parsing.
    """

    def __init__(self, dialect: Dialect, lines: Iterable[Line]) -> None:
        self._dialect = dialect
        self._lines = iter(lines)
        self._ahead: deque[Line] = deque()
        self._learnt: list[list[str]] = []
        self.refused: list[Refused] = []

    def take(self, line: Line) -> list[str] | None:
        """Return the record that begins with a line, or None if the line is refused.

        Raise Uncertain if the end of the record is unknown, or if the record seems to contain other records.
        """
        if is_blank(line.text, self._dialect.delimiter) and self._dialect.width > 1:
            self._refuse(line, BLANK)
            return None
        if not self._dialect.quote or self._dialect.quote not in line.text:
            return self._fitting(line, line.text.split(self._dialect.delimiter))
        cells = parse(line.text, self._dialect.delimiter, self._dialect.quote)
        return self._quoted(line) if cells is None else self._fitting(line, cells)

    def __iter__(self) -> Iterator[Line]:
        """Iterate over the lines that no record has taken yet."""
        while True:
            line = self._ahead.popleft() if self._ahead else next(self._lines, None)
            if line is None:
                return
            yield line

    def _fitting(self, line: Line, cells: list[str], text: str | None = None) -> list[str] | None:
        width = self._dialect.width
        if bad := _UNDECODED.search(text or line.text):
            self._refuse(
                Line(line.number, text or line.text),
                f"byte 0x{ord(bad[0]) - 0xDC00:02X} is no UTF-8; the option `encoding` says how the file is written",
            )
            return None
        if len(cells) == width and "\r" not in line.text:
            if len(self._learnt) < PATTERN_RECORDS:
                self._learnt.append(cells)
            return cells
        if len(cells) == width:
            self._refuse(line, "a carriage return within the line")
            return None
        reason = f"{len(cells)} field{'' if len(cells) == 1 else 's'} where the table has {width}"
        self._refuse(Line(line.number, text or line.text), reason)
        return None

    def _refuse(self, line: Line, reason: str) -> None:
        text = line.text.encode(errors="surrogateescape").decode(errors="backslashreplace")
        self.refused.append(Refused(line.number, text, reason))

    def _quoted(self, line: Line) -> list[str] | None:
        """Return the record whose first line has an unmatched quote, with its further lines, or refuse the line."""
        taken = self._closing(line)
        if taken is not None:
            text = "".join(each.text + each.end for each in (line, *taken[:-1])) + taken[-1].text
            cells = parse(text, self._dialect.delimiter, self._dialect.quote)
            if cells is not None and len(cells) == self._dialect.width:
                self._hold_against_lines(line, taken)
                return self._fitting(line, cells, text)
            self._ahead.extendleft(reversed(taken))
        if len(line.text.split(self._dialect.delimiter)) == self._dialect.width:
            self._refuse(
                line, "a quote that is not closed, or not doubled within quotes; the option `quote` says how to read it"
            )
            return None
        raise Uncertain(
            line.number,
            "a quote that is not closed, or not doubled within quotes, so that the end of the record is unknown",
            "the option `quote` says which character quotes a text; empty, none does",
        )

    def _closing(self, line: Line) -> list[Line] | None:
        """Take the following lines up to the one that closes the quote; take nothing and return None if none does."""
        taken: list[Line] = []
        text, end = line.text, line.end
        for following in self:
            taken.append(following)
            text, end = text + end + following.text, following.end
            if len(taken) > TEXT_LINES_MAX or len(text) > TEXT_CHARS_MAX:
                break
            if self._dialect.quote in following.text and parse(text, self._dialect.delimiter, self._dialect.quote):
                return taken
            if self._dialect.quote in following.text and text.count(self._dialect.quote) % 2 == 0:
                break  # The quote is closed in the wrong way.
        self._ahead.extendleft(reversed(taken))
        return None

    def _hold_against_lines(self, line: Line, taken: list[Line]) -> None:
        """Raise Uncertain if lines within a quoted text look like records, unless the caller has given `quote`."""
        if self._dialect.is_quote_said:
            return
        swallowed = next((each for each in taken if self._looks_like_a_record(each.text)), None)
        if swallowed is not None:
            raise Uncertain(
                line.number,
                f"a quoted text runs on to line {taken[-1].number}, and line {swallowed.number} within it looks like a"
                " record",
                "the option `quote` says that it quotes a text; empty, no character does",
            )

    def _looks_like_a_record(self, text: str) -> bool:
        """Return whether a line has all fields, with numbers and dates where earlier records have them.

        If earlier records have neither, no field after the first may be empty or begin with a space, as in prose.
        """
        cells = text.split(self._dialect.delimiter)
        if len(cells) != self._dialect.width or self._dialect.width == 1:
            return False
        patterned = False
        for index, cell in enumerate(cells):
            column = [record[index].strip() for record in self._learnt if record[index].strip()]
            if column and sum(VALUE.fullmatch(each) is not None for each in column) >= PATTERN_SHARE * len(column):
                patterned = True
                if cell.strip() and not VALUE.fullmatch(cell.strip().strip(self._dialect.quote)):
                    return False
        return patterned or not any(cell[:1] in (" ", "") for cell in cells[1:])
