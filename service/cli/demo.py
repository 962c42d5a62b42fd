"""`rungraph demo` runs the example on a table, and prints what it changed and why, and what it flagged."""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from service.cli import asking, text
from service.client import calls
from service.core.errors import StartRefused
from service.settings import Settings

EXAMPLES = 3
CELL_CHARS_MAX = 32 << 20
OPTIONS = ("delimiter", "quote", "encoding", "header", "skip")

Row = dict[str, str]


def demo(settings: Settings, arguments: argparse.Namespace) -> int:
    query = _query(arguments)
    with ExitStack() as opened:
        try:
            table = None if arguments.file is None else opened.enter_context(arguments.file.open("rb"))
        except OSError as error:
            raise StartRefused(f"cannot read {arguments.file}: {error.strerror}") from error

        async def start(server: asking.ServerClient) -> str:
            request = calls.start_example(query, None if table is None else _chunks(table))
            started = await server.ask(request, what="the run")
            return str(started["run_id"])

        run = asking.run(asking.start_and_follow(settings, "demo", start, text.brief))
    if run["status"] != "completed":
        print(f"the run is {run['status']}: {(run['error'] or {}).get('message', 'see its log')}", file=sys.stderr)
        return 1
    for line in _report(run["state"], settings.runs_folder(settings.database()) / run["run_id"]):
        print(line)
    return 0


def _query(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the query of the call. Raise StartRefused if an option describes a file but no file is given."""
    given = {name: getattr(arguments, name) for name in OPTIONS if getattr(arguments, name) is not None}
    if given and arguments.file is None:
        raise StartRefused(f"--{next(iter(given))} says how a file is written, and none is given")
    mode = {"mode": "report"} if arguments.report else {}
    return given | mode | {"allow": arguments.allow or [], "keep": arguments.keep or []}


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := file.read(2**20):
        yield chunk


def _report(state: dict[str, Any], folder: Path) -> list[str]:
    """Return the report: a table of the iterations, the changes and flags by kind, and where the files are."""
    output = state["output"]
    lines = ["", *_rounds(state), ""]
    removed = f" + {state['removed_count']:,} rows removed" if state["removed_count"] else ""
    lines.append(
        f"stopped because: {state['stopped_because']}; records: {state['row_count']:,} rows cleaned +"
        f" {state['refused_count']:,} refused{removed}"
    )
    lines += _by_kind("changed", folder / output["changes_csv"], _change)
    lines += _by_kind("flagged and left alone", folder / output["flags_csv"], _flag)
    return [
        *lines,
        "",
        "the lists, the cleaned table and its rules:",
        *(f"  {folder / name}" for name in output.values()),
    ]


def _rounds(state: dict[str, Any]) -> list[str]:
    history = state["history"]
    kinds = [kind for kind in history[0]["counts"] if any(row["counts"][kind] for row in history)]
    head = ["iteration", *(kind.replace("_", " ") for kind in kinds), "can be mended", "cells mended", "rows removed"]
    table = [head]
    for row in history:
        mended = row.get("mended") or {"cells_changed": 0, "rows_removed": 0}
        found = [row["counts"][kind] for kind in kinds]
        cells = [row["iteration"], *found, row["anomaly_count"], mended["cells_changed"], mended["rows_removed"]]
        table.append([f"{cell:,}" for cell in cells])
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def _by_kind(what: str, path: Path, told: Any) -> list[str]:
    """Return lines of text: the number of entries of each kind in the list at `path`, with at most EXAMPLES of them.

    Two examples of a kind differ in their column or their text. `told` formats an example.
    """
    counts: Counter[str] = Counter()
    examples: dict[str, dict[tuple[str, str], str]] = {}
    for row in _rows(path):
        kind = row["kind"]
        counts[kind] += 1
        some = examples.setdefault(kind, {})
        place = (row["column"], row.get("before", row.get("value", "")))
        if len(some) < EXAMPLES and place not in some:
            some[place] = told(row)
    if not counts:
        return ["", f"{what}: nothing"]
    lines = ["", f"{what}:"]
    for kind, count in counts.most_common():
        lines.append(f"  {kind.replace('_', ' ')}: {count:,}")
        lines += [f"    {example}" for example in examples[kind].values()]
    return lines


def _rows(path: Path) -> Iterable[Row]:
    """Yield the rows of a list, or none if its file is missing: another server may keep the files elsewhere."""
    csv.field_size_limit(CELL_CHARS_MAX)
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)


def _change(row: Row) -> str:
    after = _quoted(row["after"]) if row["after"] else "missing"
    before = _quoted(row["before"]) if row["before"] else "missing"
    return text.shown(f"row {row['row']}, {row['column'] or 'the row'}: {before} → {after}: {row['evidence']}")


def _flag(row: Row) -> str:
    value = f" {_quoted(row['value'])}" if row["value"] else ""
    place = f"row {row['row']}" if row["row"] else "the table"
    return text.shown(f"{place}{', ' + row['column'] if row['column'] else ''}{value}: {row['reason']}")


def _quoted(cell: str) -> str:
    return repr(cell if len(cell) <= 60 else cell[:59] + "…")
