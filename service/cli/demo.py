"""`rungraph demo`: the example, on the bundled table or on one's own, and what it found and mended."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from service.cli import asking, text
from service.core.errors import StartRefused
from service.main import database_of, folder_of_runs
from service.settings import Settings


def demo(settings: Settings, arguments: argparse.Namespace) -> int:
    with ExitStack() as opened:
        try:
            csv = None if arguments.file is None else opened.enter_context(arguments.file.open("rb"))
        except OSError as error:
            raise StartRefused(f"cannot read {arguments.file}: {error.strerror}") from error

        async def start(server: asking.Server) -> str:
            content = {} if csv is None else {"content": _chunks(csv), "headers": {"content-type": "text/csv"}}
            started = await server.ask("POST", "/demo/run_data_quality", what="the run", **content)
            return str(started["run_id"])

        run = asyncio.run(asking.start_and_follow(settings, "demo", start, text.brief))
    if run["status"] != "completed":
        print(f"the run is {run['status']}: {(run['error'] or {}).get('message', 'see its log')}", file=sys.stderr)
        return 1
    print(_report(run["state"], folder_of_runs(settings, database_of(settings)) / run["run_id"]))
    return 0


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := file.read(2**20):
        yield chunk


def _report(state: dict[str, Any], folder: Path) -> str:
    """What was found and mended, an iteration a row, and where the results are."""
    kinds = [kind for kind in state["history"][0]["counts"] if any(row["counts"][kind] for row in state["history"])]
    head = ["iteration", *(kind.replace("_", " ") for kind in kinds), "anomalies", "cells mended", "rows removed"]
    table = [head]
    for row in state["history"]:
        mended = row.get("mended") or {"cells_changed": 0, "rows_removed": 0}
        found = [row["counts"][kind] for kind in kinds]
        cells = [row["iteration"], *found, row["anomaly_count"], mended["cells_changed"], mended["rows_removed"]]
        table.append([f"{cell:,}" for cell in cells])
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    lines.insert(1, "  ".join("-" * width for width in widths))
    files = [f"  {folder / name}" for name in state["output"].values()]
    ending = f"stopped because: {state['stopped_because']}, {len(state['rules'])} rules"
    return "\n".join(["", *lines, "", ending, "the cleaned table and its rules:", *files])
