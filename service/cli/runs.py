"""The commands that run a graph, list runs and print the log of a run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from service.cli import asking, inputs, output, text
from service.client import calls
from service.client.following import Cursor
from service.core import codec
from service.core.errors import StartRefused
from service.settings import Settings

_RESTS = {"failed": "failed", "cancelled": "was cancelled", "paused": "is paused"}


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Run a graph to its end. Return 0 if the run completes, and 1 if it fails, is cancelled or is paused."""
    if (arguments.file is None) == (arguments.graph is None):
        raise StartRefused("run takes a GRAPH.json or --graph NAME, one of them")
    graph = None if arguments.file is None else inputs.graph_of(arguments.file)
    state = {} if arguments.state is None else inputs.state_of(arguments.state)
    tags = dict(arguments.tag or ())

    async def start(server: asking.ServerClient) -> str:
        if server.address and arguments.tools:
            asking.note(f"the server at {server.address} executes the run, with its own tools and not with --tools")
        which = arguments.graph if graph is None else await create(server, graph)
        asked = calls.start(which, state, tags, None, {"priority": arguments.priority})
        started = await server.ask(asked, what="the run")
        return str(started["run_id"])

    async def create(server: asking.ServerClient, content: bytes) -> str:
        name = str(arguments.file)
        created = await server.ask(calls.create(content), what=name)
        for warning in created["warnings"]:
            asking.note(f"{warning['pointer']}: {warning['message']}")
        return str(created["graph_id"])

    last: dict[str, Any] = {}
    trace: list[str] = []

    def show(line: dict[str, Any]) -> str | None:
        last.update(line)
        trace[:] = text.traceback_of(line) or trace
        return None if arguments.json else text.brief(line)

    ended = asking.run(asking.start_and_follow(settings, "run", start, show, is_quiet=arguments.json))
    ended.pop("logs")
    output.print_answer(arguments, ended, lambda: output.print_state(ended["state"]))
    return 0 if ended["status"] == "completed" else _explain_rest(ended, last, trace)


def _explain_rest(ended: dict[str, Any], last: dict[str, Any], trace: list[str]) -> int:
    """Print why the run did not complete: its error with the tool's traceback, or else its last log line. Return 1."""
    error = ended["error"]
    because = last["message"] if error is None else f"{error['type']}: {error['message']}"
    asking.note(f"run {ended['run_id']} {_RESTS[ended['status']]}: {because}")
    if error is not None:
        print("".join(f"{line}\n" for line in trace), end="", file=sys.stderr)
    return 1


def list_runs(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the newest runs that match the filters."""
    wanted = {"status": arguments.status, "graph_id": arguments.graph_id, "graph": arguments.graph}
    wanted |= {"tag": arguments.tag, "parent_id": arguments.parent, "id_prefix": arguments.id_prefix}
    filters = {name: value for name, value in wanted.items() if value is not None}
    size = min(calls.PAGE_MAX, arguments.limit)
    found = asking.read_items(settings, partial(calls.runs, filters, size), arguments.limit)

    def show() -> None:
        head = ["id", "graph", "status", "step", "node", "started (UTC)", "duration"]
        now = datetime.now(UTC)
        rows = [_row(each, now) for each in found]
        if any(each["children"] for each in found):
            head.append("children")
            rows = [[*row, str(each["children"] or "")] for row, each in zip(rows, found, strict=True)]
        output.print_table(head, rows, nothing="no runs")

    return output.print_answer(arguments, found, show)


def _row(run: dict[str, Any], now: datetime) -> list[str]:
    started_at = run["started_at"]
    return [
        run["run_id"],
        # A graph need not have a name, but it always has an id.
        text.cell(run["graph_name"] or run["graph_id"][:8]),
        run["status"],
        str(run["step"]),
        text.cell(run["current_node"] or ""),
        started_at[:19].replace("T", " ") if started_at else "-",
        text.duration(started_at, run["finished_at"], now),
    ]


def logs(settings: Settings, arguments: argparse.Namespace) -> int:
    run_id = asking.known_run_id(arguments.run_id)
    show = _as_json if arguments.json else text.full
    asking.run(_follow(settings, run_id, show) if arguments.follow else _print_lines(settings, run_id, show))
    return 0


async def _print_lines(settings: Settings, run_id: str, show: Callable[[dict[str, Any]], str]) -> None:
    """Print all lines that the log has when its first page is read."""
    async with asking.reading(settings) as server:
        cursor = Cursor(0)
        while not cursor.is_at_end:
            for line in cursor.take(await server.ask(calls.logs(run_id, cursor.seq))):
                print(show(line), flush=True)


async def _follow(settings: Settings, run_id: str, show: Callable[[dict[str, Any]], str]) -> None:
    async with asking.reading(settings) as server:
        database = settings.database()
        if server.address is None and not database.is_shared and database.owner() is None:
            now = await server.ask(calls.tail(run_id))
            if asking.is_moving(now):
                asking.note(
                    f"run {run_id} is {now['status']}, and nobody executes it until a server runs on its database"
                )
        await asking.follow(server, run_id, show)


def _as_json(line: dict[str, Any]) -> str:
    return codec.encode(line)
