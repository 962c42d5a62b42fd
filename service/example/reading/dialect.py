"""Find the dialect of a CSV file: its delimiter, its width, where the table begins, and whether it has a header.

The dialect is derived from the first lines. Later, the whole file is checked against it.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from service.example.judging.texts import shape
from service.example.reading.options import Options, Uncertain
from service.example.tables.database import LINE_BYTES_MAX

HEAD_LINES = 1000
TEXT_LINES = 100
"""While the dialect is searched for, a quoted text over more lines is treated as separate lines."""
PREAMBLE_LINES_MAX = 50
NOT_CSV = re.compile(r'\s*(<!doctype|<html|<\?xml|%PDF|[\[{]\s*["{\]}])', re.IGNORECASE)
DELIMITERS = ",;\t|"
UNUSUAL_DELIMITERS = ":^~!& "
SEPARATOR_LINE = re.compile(r'"?sep=([\x20-\x7e\t])"?[\r\n]*')
"""A first line that tells Excel the delimiter."""
VALUE = re.compile(
    r"[-+−]?[$€£¥]?\d+([.,]\d+)*([eE][-+]?\d+)?\s?[%€]?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*|\d{1,2}:\d{2}(:\d{2})?"
)
"""A pattern for numbers, dates and times. Names of columns rarely match it."""
MISSING_NAMES = ("na", "n/a", "nan", "null", "none", "-", "?")

csv.field_size_limit(LINE_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class Dialect:
    delimiter: str
    quote: str
    """The mark around quoted texts; empty if no text is quoted."""
    is_quote_said: bool
    """Whether the caller has given `quote`."""
    first_line: int
    """The number, from 1, of the line where the first record begins after the header, if the file has one."""
    width: int
    header: list[str] | None
    header_doubt: str | None
    """Why the header looks like data; None if it does not, or if the caller has given `header`."""
    blank_lines: int
    """The number of blank lines before the table."""


@dataclass(frozen=True, slots=True)
class _Record:
    line: int
    cells: list[str]
    lines: int = 1
    is_malformed: bool = False
    """Whether a quote in the record is not closed or not doubled. The record was then split at each delimiter."""


def find_dialect(path: Path, options: Options) -> Dialect:
    """Return the dialect. Raise Uncertain if it is not certain, ValueError if the file is empty or is not CSV."""
    with path.open("rb") as file:
        head = [line.decode(errors="surrogateescape") for line in islice(file, (options.skip or 0) + HEAD_LINES)]
    if head:
        head[0] = head[0].removeprefix("\ufeff")
    skip = min(options.skip or 0, len(head))
    separator = options.delimiter
    if separator is None and (said := head[skip:] and SEPARATOR_LINE.fullmatch(head[skip])):
        separator, skip = said[1], skip + 1
    lines = head[skip:]
    blank = next((index for index, line in enumerate(lines) if line.strip()), None)
    if blank is None:
        raise ValueError("the file is empty" + (f" beyond the {skip} lines that `skip` leaves out" if skip else ""))
    if separator is None and NOT_CSV.match(lines[blank]):
        raise ValueError("this is no CSV file: it starts like a document of another kind")
    quote = '"' if options.quote is None else options.quote
    delimiter = separator or _find_delimiter(lines[blank:], quote, skip + blank + 1)
    records = _records(lines[blank:], delimiter, quote, skip + blank + 1)
    width = _find_width(records, options)
    has_header = options.header is not False
    if has_header:
        _refuse_header(records[0])
    return Dialect(
        delimiter,
        quote,
        options.quote is not None,
        records[0].line + (records[0].lines if has_header else 0),
        width,
        records[0].cells if has_header else None,
        _doubt(records, width) if options.header is None else None,
        blank,
    )


def _refuse_header(header: _Record) -> None:
    """Raise Uncertain if the header, which is the first record, has no readable names of columns."""
    if header.is_malformed:
        raise Uncertain(
            header.line,
            "a quote in the header is not closed, or not doubled within quotes",
            "the option `quote` says which character quotes a text; empty, none does",
        )
    if any("\udc80" <= letter <= "\udcff" for name in header.cells for letter in name):
        raise Uncertain(
            header.line, "a name in the header is no UTF-8", "the option `encoding` says how the file is written"
        )
    if not any(name.strip() for name in header.cells):
        raise Uncertain(header.line, "it names no column", "the options `header` and `skip` say where the table begins")


def _find_delimiter(lines: Sequence[str], quote: str, first: int) -> str:
    """Return the delimiter that gives the most lines the same width.

    Raise Uncertain if two delimiters give all lines the same width, or if none fits lines that seem to have fields.
    """
    fits = {}
    for delimiter in DELIMITERS:
        records = _records(lines, delimiter, quote, first)
        widths = Counter(len(record.cells) for record in records)
        width, count = widths.most_common(1)[0]
        fits[delimiter] = (width > 1, count / len(records), width)
    best = max(fits, key=lambda delimiter: fits[delimiter])
    if not fits[best][0]:
        _refuse_one_column(lines, quote, first)
    rivals = [each for each in DELIMITERS if each != best and fits[each][0] and fits[each][1] == 1.0]
    if fits[best][0] and fits[best][1] == 1.0 and rivals and len(lines) > 1:
        raise Uncertain(
            first,
            f"{best!r} and {rivals[0]!r} both give all lines the same number of fields",
            "the option `delimiter` says which one separates them",
        )
    return best


def _refuse_one_column(lines: Sequence[str], quote: str, first: int) -> None:
    """Raise Uncertain if the lines seem to have several fields, although most lines have no usual delimiter.

    They seem so if a usual delimiter gives the header and another line the same number of fields, more than one, or if
    an unusual delimiter gives all lines the same number of fields.
    """
    for delimiter in DELIMITERS:
        header, *body = _records(lines, delimiter, quote, first)
        width = len(header.cells)
        odd = next((record for record in body if len(record.cells) != width), None)
        if width > 1 and odd and any(len(record.cells) == width for record in body):
            raise Uncertain(
                odd.line,
                f"it has {_fields(len(odd.cells))}, as most lines have, and the first one has {width}",
                "the option `delimiter` says what separates fields",
            )
    for mark in UNUSUAL_DELIMITERS if len(lines) > 1 else "":
        records = _records(lines, mark, quote, first)
        width = len(records[0].cells)
        if width > 1 and all(len(record.cells) == width for record in records) and _may_part(mark, records[1:]):
            raise Uncertain(
                first,
                f"{mark!r} gives all lines {width} fields, and no usual delimiter does",
                "the option `delimiter` says what separates fields",
            )


def _may_part(mark: str, body: Sequence[_Record]) -> bool:
    """Return whether a mark may separate fields.

    A space may if there are three fields or more and some are numbers, dates or times. Otherwise it separates words.
    """
    return mark != " " or (len(body[0].cells) > 2 and any(_is_value(cell) for record in body for cell in record.cells))


def _records(lines: Sequence[str], delimiter: str, quote: str, first: int) -> list[_Record]:
    """Split the lines into records, without blank lines. A line that cannot be parsed is split at each delimiter."""
    records: list[_Record] = []
    position = 0
    while position < len(lines):
        line = lines[position].rstrip("\r\n")
        cells, taken = _cells(lines, position, delimiter, quote)
        if not is_blank(line, delimiter):
            whole = line.split(delimiter) if cells is None else cells
            records.append(_Record(first + position, whole, taken, cells is None))
        position += taken
    return records


def _cells(lines: Sequence[str], position: int, delimiter: str, quote: str) -> tuple[list[str] | None, int]:
    """Return the cells of the record that begins at `position`, or None if it is malformed, and its number of lines."""
    line = lines[position].rstrip("\r\n")
    quotes = line.count(quote) if quote else 0
    if not quotes:
        return line.split(delimiter), 1
    taken = 1
    while quotes % 2 and taken < TEXT_LINES and position + taken < len(lines):
        quotes += lines[position + taken].count(quote)
        taken += 1
    cells = parse("".join(lines[position : position + taken]).rstrip("\r\n"), delimiter, quote)
    return (cells, taken) if cells else (None, 1)


def parse(text: str, delimiter: str, quote: str) -> list[str] | None:
    """Parse the cells of one record strictly; return None if it is malformed or ends within quotes.

    A quote within an unquoted text is an ordinary character.
    """
    lines = text.split("\n")
    parts = [*(line + "\n" for line in lines[:-1]), lines[-1]]
    reader = csv.reader(parts, delimiter=delimiter, quotechar=quote, strict=True)
    try:
        cells = next(reader, [""])
        return cells if next(reader, None) is None else None
    except csv.Error:
        return None


def is_blank(line: str, delimiter: str) -> bool:
    """Return whether a line is blank. A line of delimiters is not blank, but a record of missing cells."""
    return not line.strip(" \t\r\n") and delimiter not in line


def _find_width(records: Sequence[_Record], options: Options) -> int:
    """Return the number of fields of a record. Raise Uncertain if the first lines do not belong to the table."""
    has_header = options.header is not False
    body = records[1:] if has_header else records
    if not body:
        return len(records[0].cells)
    widths = Counter(len(record.cells) for record in body)
    width, count = widths.most_common(1)[0]
    first = records[0]
    if len(first.cells) == width:
        return width
    start = next((record for record in records if len(record.cells) == width), None)
    if start and 1 <= records.index(start) <= PREAMBLE_LINES_MAX and records.index(start) + 2 <= len(records):
        follow = records[records.index(start) : records.index(start) + 3]
        lone = records.index(start) > 1 or len(first.cells) == 1
        if lone and width > 1 and all(len(record.cells) == width for record in follow):
            raise Uncertain(
                first.line,
                f"it has {_fields(len(first.cells))}, and most records have {width}",
                f"the option `skip` leaves lines out that stand before the table, such as skip={start.line - 1}, and"
                " `delimiter` says what separates fields",
            )
    if has_header and len(first.cells) < width and _rest_is_empty(body, len(first.cells)):
        return width
    if has_header and count < len(body) and len(first.cells) in widths:
        return len(first.cells)
    what = "the header" if has_header else "the first record"
    raise Uncertain(
        first.line,
        f"{what} has {_fields(len(first.cells))}, and most records have {width}",
        "the options `header`, `skip` and `delimiter` say where the table begins and how it is separated",
    )


def _rest_is_empty(body: Sequence[_Record], width: int) -> bool:
    return not any(cell.strip() for record in body for cell in record.cells[width:])


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"


def _doubt(records: Sequence[_Record], width: int) -> str | None:
    """Return why the first record looks like data, such as a number above a column of numbers; None if it does not."""
    first, body = records[0], [record.cells for record in records[1:] if len(record.cells) == width]
    for index, name in enumerate(first.cells):
        column = [cells[index].strip() for cells in body if index < len(cells) and cells[index].strip()]
        if VALUE.fullmatch(name.strip()) and column and sum(map(_is_value, column)) > len(column) / 2:
            return f"{name.strip()!r} stands where a name should, over a column of such values"
        if name.strip().casefold() in MISSING_NAMES:
            return f"{name.strip()!r} names no column"
        if any(letter.isdigit() or letter in "@:/" for letter in name) and len(name.strip()) > 2:
            alike = sum(shape(cell) == shape(name.strip()) for cell in column)
            if len(column) > 1 and alike > len(column) / 2:
                return f"{name.strip()!r} is written like the values of the column below it"
    if first.cells and body and all(_is_value(name.strip()) for name in first.cells):
        return f"all of its names are values, such as {first.cells[0].strip()!r}"
    repeated = [name for index, name in enumerate(first.cells) if name.strip() and _repeats(name, index, body)]
    if repeated:
        return f"{repeated[0]!r} is also a value of the column below it"
    return None


def _is_value(text: str) -> bool:
    return VALUE.fullmatch(text) is not None


def _repeats(name: str, index: int, body: Sequence[Sequence[str]]) -> bool:
    return sum(index < len(cells) and cells[index] == name for cells in body) >= 1
