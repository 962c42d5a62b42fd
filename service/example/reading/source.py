"""Load the rows of a bundled data set, a CSV file or a JSON array into the first table.

Every cell is loaded as text. `profile` and `detect` decide later what the texts mean.
"""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from service.core.tool import JsonObject
from service.example.datasets import DATASETS
from service.example.reading.dialect import Dialect, find_dialect
from service.example.reading.encoding import as_utf8, has_nul
from service.example.reading.names import unique_names
from service.example.reading.options import Options, Uncertain
from service.example.reading.scanner import BLANK, REFUSED_SHARE_MAX, Line, Refused, Scanner
from service.example.tables.database import LINE_BYTES_MAX, database, literal, parquet, single, write
from service.example.tables.files import draft_in, inside, replacing

BATCH = 5000
CELL_END, LINE_MARK, ESCAPE = "\x1f", "\x1e", "\x1d"
EMPTY = "\x1dm"
"""The line for a record of one missing cell. It is not empty, since DuckDB skips empty lines."""
_ESCAPES = str.maketrans({"\x1d": "\x1dd", "\x1e": "\x1de", "\x1f": "\x1df", "\n": "\x1dn", "\r": "\x1dr"})
_SPECIAL = "\x1d\x1e\x1f\n\r"


@dataclass(slots=True)
class Source:
    """The result of reading: the names of the columns, the counts of rows and refused lines, and notes for the log."""

    names: list[str]
    row_count: int = 0
    refused_count: int = 0
    encoding: str = "utf-8"
    notes: list[str] = field(default_factory=list)
    header_doubt: str | None = None
    encoding_doubt: str | None = None
    header: list[str] | None = None


def load_source(source: JsonObject, options: Options, folder: Path, table: Path, refused: Path) -> Source:
    """Write the source's rows to `table` and the refused lines to `refused`.

    Raise Uncertain (a ValueError) if the table cannot be read with certainty, ValueError if there is no table.
    """
    match source:
        case {"kind": "dataset", "name": str(name)} if name in DATASETS:
            return _load_csv(DATASETS[name], options, folder, table, refused)
        case {"kind": "csv", "file": file}:
            return _load_csv(inside(folder, file), options, folder, table, refused)
        case {"kind": "rows", "file": file}:
            return _load_rows(inside(folder, file), folder, table, refused)
    raise ValueError(f"unknown source: {source!r}")


def _load_csv(path: Path, options: Options, folder: Path, table: Path, refused: Path) -> Source:
    with ExitStack() as opened:
        text = opened.enter_context(as_utf8(path, options, folder))
        dialect = find_dialect(text.path, options)
        read = Source(_names(dialect), encoding=text.encoding, header=dialect.header)
        read.header_doubt = dialect.header_doubt
        records = draft_in(folder, "records")
        opened.callback(records.unlink, missing_ok=True)
        with records.open("w", encoding="utf-8", newline="") as out:
            refusals = _write_records(text.path, dialect, out, read)
        _hold_against_rows(read.row_count, [each for each in refusals if each.reason != BLANK])
        if not read.row_count:
            raise Uncertain(
                dialect.first_line - 1,
                "the file has a header and no rows",
                "the option `header` says whether the first record is one",
            )
        read.refused_count = len(refusals)
        _write_refused(refused, refusals)
        _load_records(folder, records, table, read.row_count)
    _note_reading(read, dialect, text.is_said)
    return read


def _hold_against_rows(row_count: int, unfit: Sequence[Refused]) -> None:
    """Raise Uncertain if so many records are refused that the table seems to have another dialect."""
    if len(unfit) > REFUSED_SHARE_MAX * (row_count + len(unfit)):
        raise Uncertain(
            unfit[0].line,
            f"{unfit[0].reason}, and {len(unfit):,} of {row_count + len(unfit):,} records do not fit",
            "the options `delimiter`, `quote` and `skip` say how the table is written",
        )


def _names(dialect: Dialect) -> list[str]:
    header = dialect.header or []
    return unique_names([*header, *[""] * (dialect.width - len(header))])


def _note_reading(read: Source, dialect: Dialect, is_encoding_said: bool) -> None:
    if not is_encoding_said:
        read.encoding_doubt = f"the file is no UTF-8 and was read as {read.encoding}; the option `encoding` settles it"
        read.notes.append(read.encoding_doubt)
    if dialect.blank_lines:
        read.notes.append(f"{dialect.blank_lines} blank lines before the table were passed over")
    if read.header_doubt:
        read.notes.append(
            f"the first record was taken for the header, but {read.header_doubt}; the option `header` settles it"
        )
    if read.refused_count:
        read.notes.append(f"{read.refused_count:,} records were refused; refused.csv has their lines and the reasons")


def _write_records(path: Path, dialect: Dialect, out: Any, read: Source) -> list[Refused]:
    """Write the records in the form that DuckDB loads, and count them in `read`. Return the refused lines."""
    scanner = Scanner(dialect, _lines(path, dialect))
    delimiter, delimiters = dialect.delimiter, dialect.width - 1
    is_special = re.compile(f"[{_SPECIAL}\udc80-\udcff{re.escape(dialect.quote)}]").search
    batch: list[str] = []
    last = 0
    for line in scanner:
        text = line.text
        if delimiters and text.count(delimiter) == delimiters and not is_special(text):
            batch.append(text.replace(delimiter, CELL_END))
            last = line.number
        elif (cells := scanner.take(line)) is not None:
            batch.append(encoded(cells))
            last = line.number
        elif scanner.refused[-1].reason != BLANK:
            last = line.number
        if len(batch) >= BATCH:
            read.row_count += _flush(batch, out)
    read.row_count += _flush(batch, out)
    # Blank lines at the end of the file are not refused records.
    return [each for each in scanner.refused if each.reason != BLANK or each.line < last]


def _flush(batch: list[str], out: Any) -> int:
    count = len(batch)
    if batch:
        out.write("\n".join(batch) + "\n")
        batch.clear()
    return count


def encoded(cells: Sequence[str]) -> str:
    """Encode a record as one line of text, without loss."""
    line = CELL_END.join(cell.translate(_ESCAPES) if any(mark in cell for mark in _SPECIAL) else cell for cell in cells)
    return line or EMPTY


def _lines(path: Path, dialect: Dialect) -> Iterator[Line]:
    """Yield the file's lines from the first record on."""
    with path.open("rb") as file:
        number = dialect.first_line
        deque(islice(file, dialect.first_line - 1), maxlen=0)
        for raw in file:
            if b"\0" in raw:
                raise has_nul(number)
            whole = raw.decode(errors="surrogateescape")
            text = whole.rstrip("\r\n")
            end = whole[len(text) :]
            yield Line(number, text.removeprefix("\ufeff") if number == 1 else text, end)
            number += 1


def _write_refused(path: Path, refusals: Iterable[Refused]) -> None:
    with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["line", "text", "reason"])
        writer.writerows((each.line, each.text, each.reason) for each in refusals)


def _load_records(folder: Path, records: Path, table: Path, row_count: int) -> None:
    """Write the records to `table`: `row`, from 1, and `cells`, a list of texts, with NULL for a missing cell."""
    line = "line"
    for code, mark in (
        ("m", "''"),
        ("n", "chr(10)"),
        ("r", "chr(13)"),
        ("f", "chr(31)"),
        ("e", "chr(30)"),
        ("d", "chr(29)"),
    ):
        line = f"replace({line}, chr(29) || '{code}', {mark})"
    plain = f"CASE WHEN contains(line, chr(29)) THEN {line} ELSE line END".replace("line", "cell")
    with database(folder) as db:
        query = f"""SELECT row_number() OVER () AS row,
            list_transform(string_split(line, chr(31)), lambda cell: nullif({plain}, '')) AS cells
            FROM read_csv({literal(str(records))}, auto_detect=false, header=false, delim={literal(LINE_MARK)},
            quote='', escape='', new_line='\\n', columns={{'line': 'VARCHAR'}}, nullstr={literal(ESCAPE)},
            max_line_size={LINE_BYTES_MAX}, buffer_size={2 * LINE_BYTES_MAX}, parallel=false)"""
        write(db, query, table)
        (loaded,) = single(db, f"SELECT count(*) FROM {parquet(table)}")
    if loaded != row_count:
        raise RuntimeError(f"{row_count} records were read and {loaded} loaded")


def _load_rows(path: Path, folder: Path, table: Path, refused: Path) -> Source:
    rows = json.loads(path.read_bytes())
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError("rows are a JSON array of objects, at least one")
    keys = list(dict.fromkeys(key for row in rows for key in row))
    if not keys:
        raise ValueError("the rows have no keys")
    records = draft_in(folder, "records")
    try:
        with records.open("w", encoding="utf-8", newline="") as out:
            out.writelines(encoded([_json_text(row.get(key)) for key in keys]) + "\n" for row in rows)
        _write_refused(refused, ())
        _load_records(folder, records, table, len(rows))
    finally:
        records.unlink(missing_ok=True)
    return Source(unique_names(keys), row_count=len(rows))


def _json_text(value: Any) -> str:
    """Return a value as the text that a CSV file would have; null becomes an empty text."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if "\0" in text:
        raise ValueError("a value holds NUL, which no text may")
    return text
