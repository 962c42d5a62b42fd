"""Where the rows come from: a bundled data set, a CSV file or a JSON array, loaded into the first table.

What a CSV cell means is for `profile` and `detect` to judge, so every cell is loaded as the text it is. JSON
says itself what is a number. Rows that fit no column are counted, not guessed at.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import duckdb

from service.core.tool import JsonObject
from service.example.columns import TEXT
from service.example.database import ROW, database, literal, quote, single, write
from service.example.files import inside

DATASETS: Mapping[str, Path] = {"planes": Path(__file__).parent / "data" / "planes.csv"}

HEAD_BYTES = 1 << 20
"""How much of a CSV file is read to find its delimiter and its header."""
LINE_BYTES_MAX = 32 << 20
NAME_CHARS_MAX = 100
NOT_CSV = re.compile(r'\s*(<!doctype|<html|<\?xml|%PDF|[\[{]\s*["{\]}])', re.IGNORECASE)


def load(source: JsonObject, folder: Path, table: Path) -> int:
    """Write the source's rows to `table`; return how many were refused. ValueError where none is left."""
    match source:
        case {"kind": "dataset", "name": str(name)} if name in DATASETS:
            return _load_csv(DATASETS[name], folder, table)
        case {"kind": "csv", "file": file}:
            return _load_csv(inside(folder, file), folder, table)
        case {"kind": "rows", "file": file}:
            return _load_rows(inside(folder, file), folder, table)
    raise ValueError(f"unknown source: {source!r}")


def _load_csv(path: Path, folder: Path, table: Path) -> int:
    dialect = _dialect(path)
    names = [*dialect.names, "surplus"]  # a row with a value there is wider than its header
    columns = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(len(names)))
    with database(folder, path) as db:
        numbered = f"CREATE TABLE source AS SELECT row_number() OVER () AS {quote(ROW)}, *"
        try:
            db.execute(
                f"""{numbered} FROM read_csv({literal(str(path))}, auto_detect=false, header=true,
                delim={literal(dialect.delimiter)}, quote='"', escape='"', encoding='{dialect.encoding}',
                columns={{{columns}}}, null_padding=true, parallel=false,
                max_line_size={LINE_BYTES_MAX}, buffer_size={LINE_BYTES_MAX},
                strict_mode={not dialect.is_loose}, ignore_errors=true, store_rejects=true)"""
            )
        except duckdb.InvalidInputException as error:
            raise ValueError(f"this is no CSV file: {str(error).splitlines()[0]}") from error
        *cells, surplus = (f"c{index}" for index in range(len(names)))
        renamed = ", ".join(f"{cell} AS {quote(name)}" for cell, name in zip(cells, dialect.names, strict=True))
        # A line without any value is a blank line, but in a table of one column it is a missing value.
        blank = f"coalesce({', '.join(cells)}) IS NULL" if len(cells) > 1 else "FALSE"
        kept = f"FROM source WHERE {surplus} IS NULL AND NOT ({blank})"
        if single(db, f"SELECT count(*) {kept}") == (0,):
            raise ValueError("the file has a header and no rows")
        write(db, f"SELECT {quote(ROW)}, {renamed} {kept} ORDER BY {quote(ROW)}", table)
        (wide,) = single(db, f"SELECT count({surplus}) FROM source")
        (broken,) = single(db, "SELECT count(DISTINCT line) FROM reject_errors")
        return int(wide + broken)


@dataclass(frozen=True, slots=True)
class _Dialect:
    encoding: str
    delimiter: str
    is_loose: bool
    """Newlines of two kinds, or a quote that is never closed: read as far as can be."""
    names: list[str]


def _dialect(path: Path) -> _Dialect:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    encoding, is_loose = _scan(path, head)
    whole_lines = head if len(head) < HEAD_BYTES else head[: head.rfind(b"\n") + 1 or None]
    text = whole_lines.decode(encoding, errors="replace").lstrip("\ufeff")
    if not text.strip():
        raise ValueError("the file is empty")
    if NOT_CSV.match(text):
        raise ValueError("this is no CSV file: it starts like a document of another kind")
    records = {delimiter: _records(text, delimiter) for delimiter in ",;\t|"}
    delimiter = max(records, key=lambda each: _regularity(records[each]))
    header, *rows = records[delimiter]
    width = Counter(len(row) for row in rows).most_common(1)[0][0] if rows else 0
    return _Dialect(encoding, delimiter, is_loose, unique_names([*header, *[""] * (width - len(header))]))


def _scan(path: Path, head: bytes) -> tuple[str, bool]:
    """The encoding, and whether the file needs loose reading; ValueError where it is no text."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", False
    encoding, quotes, lines, windows_lines = "utf-8", 0, 0, 0
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            if b"\0" in block:
                raise ValueError("this is no CSV file: it holds bytes that are no text")
            quotes += block.count(b'"')
            lines += block.count(b"\n")
            windows_lines += block.count(b"\r\n")
            if encoding == "utf-8":
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    encoding = "latin-1"  # as spreadsheets on Windows save it; no byte is wrong there
    return encoding, quotes % 2 == 1 or 0 < windows_lines < lines


def _records(text: str, delimiter: str) -> list[list[str]]:
    """The first records, without blank lines."""
    records: list[list[str]] = []
    csv.field_size_limit(HEAD_BYTES)
    for record in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
        if record:
            records.append(record)
        if len(records) == 100:
            break
    return records


def _regularity(records: list[list[str]]) -> tuple[bool, float, int]:
    """How well a delimiter explains a file: more than one column, in as many lines as possible."""
    widths = Counter(len(record) for record in records)
    width, lines = widths.most_common(1)[0]
    return width > 1, lines / len(records), width


def unique_names(names: Iterable[str]) -> list[str]:
    """Names for columns: none empty, none twice (SQL does not tell `a` from `A`), none too long to print."""
    taken = {ROW}
    unique = []
    for position, raw in enumerate(names, start=1):
        plain = "".join(letter if letter.isprintable() else " " for letter in raw)
        base = " ".join(plain.split())[:NAME_CHARS_MAX] or f"column_{position}"
        name, count = base, 1
        while name.casefold() in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name.casefold())
        unique.append(name)
    return unique


def _load_rows(path: Path, folder: Path, table: Path) -> int:
    rows = json.loads(path.read_bytes())
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError("rows are a JSON array of objects, at least one")
    keys = list(dict.fromkeys(key for row in rows for key in row))
    if not keys:
        raise ValueError("the rows have no keys")
    types = {key: _json_type(row.get(key) for row in rows) for key in keys}
    with NamedTemporaryFile("w", dir=folder, prefix=".rows-", encoding="utf-8") as lines:
        for number, row in enumerate(rows, start=1):
            cells = {f"c{index}": _json_cell(row.get(key), types[key]) for index, key in enumerate(keys)}
            lines.write(json.dumps({"row": number} | cells) + "\n")
        lines.flush()
        columns = ", ".join(f"'c{index}': {literal(types[key])}" for index, key in enumerate(keys))
        renamed = ", ".join(f"c{index} AS {quote(name)}" for index, name in enumerate(unique_names(keys)))
        with database(folder) as db:
            write(
                db,
                f"""SELECT row AS {quote(ROW)}, {renamed} FROM read_json({literal(lines.name)},
                format='newline_delimited', maximum_object_size={LINE_BYTES_MAX},
                columns={{'row': 'BIGINT', {columns}}}) ORDER BY row""",
                table,
            )
    return 0


def _json_type(values: Iterable[Any]) -> str:
    """The type that holds all values exactly; text where they differ, or where a number would not survive."""
    present = [value for value in values if value is not None]
    kinds = {type(value) for value in present}
    whole = [value for value in present if type(value) is int]
    if kinds == {bool}:
        return "BOOLEAN"
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in whole):
        return "BIGINT"
    if kinds and kinds <= {int, float} and all(abs(value) <= 2**53 for value in whole):
        return "DOUBLE"
    return TEXT


def _json_cell(value: Any, kind: str) -> Any:
    if value is None or kind != TEXT:
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if "\0" in text:
        raise ValueError("a value holds NUL, which no text may")
    return text
