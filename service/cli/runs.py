"""The commands on runs: execute one, list them, print the log of one."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.cli import asking, text
from service.core import codec
from service.core.errors import Invalid, NotJson, StartRefused
from service.settings import Settings

JSON = {"content-type": "application/json"}
PAGE_MAX = 1000

_RESTS = {"failed": "failed", "cancelled": "was cancelled", "paused": "is paused"}


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Execute a graph; 0 when the run is completed, 1 when it has come to rest otherwise."""
    graph = _bytes_of(arguments.file)
    _decode(str(arguments.file), graph, codec.DOCUMENT_DEPTH_MAX)
    state = {} if arguments.state is None else _state(arguments.state)

    async def start(server: asking.Server) -> str:
        if server.address and arguments.tools:
            asking.note(f"the server at {server.address} executes the run, with its own tools and not with --tools")
        created = await server.ask("POST", "/graph/create", what=str(arguments.file), content=graph, headers=JSON)
        for warning in created["warnings"]:
            asking.note(f"{warning['pointer']}: {warning['message']}")
        body = codec.encode({"graph_id": created["graph_id"], "initial_state": state}).encode()
        started = await server.ask("POST", "/graph/run", what="the run", content=body, headers=JSON)
        return str(started["run_id"])

    last: dict[str, Any] = {}

    def show(line: dict[str, Any]) -> str:
        last.update(line)
        return text.brief(line)

    ended = asking.run(asking.start_and_follow(settings, "run", start, show))
    if ended["status"] == "completed":
        return 0
    # What made it rest is its error or its last line.
    error = ended["error"]
    because = last["message"] if error is None else f"{error['type']}: {error['message']}"
    asking.note(f"run {ended['run_id']} {_RESTS[ended['status']]}: {because}")
    return 1


def list_runs(settings: Settings, arguments: argparse.Namespace) -> int:
    found, names = asking.run(_newest(settings, arguments.limit, arguments.status))
    if not found:
        print("no runs")
        return 0
    now = datetime.now(UTC)
    rows = [["id", "graph", "status", "step", "node", "started (UTC)", "duration"]]
    for each in found:
        started_at = each["started_at"]
        rows.append(
            [
                each["run_id"],
                # A graph need not have a name; its id is its own in any case.
                text.cell(names[each["graph_id"]] or each["graph_id"][:8]),
                each["status"],
                str(each["step"]),
                text.cell(each["current_node"] or ""),
                started_at[:19].replace("T", " ") if started_at else "-",
                text.duration(started_at, each["finished_at"], now),
            ]
        )
    for line in text.table(rows):
        print(line, flush=True)
    return 0


def logs(settings: Settings, arguments: argparse.Namespace) -> int:
    run_id = asking.known_run_id(arguments.run_id)
    asking.run(_follow(settings, run_id) if arguments.follow else _print_lines(settings, run_id))
    return 0


async def _newest(settings: Settings, limit: int, status: str | None) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Up to `limit` runs, the newest first, and the names of their graphs by id."""
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {} if status is None else {"status": status}
    async with asking.reading(settings) as server:
        while len(found) < limit:
            params["limit"] = min(PAGE_MAX, limit - len(found))
            page = await server.ask("GET", "/runs", params=params)
            found += page["items"]
            if page["next_cursor"] is None:
                break
            params["cursor"] = page["next_cursor"]
        ids = dict.fromkeys(each["graph_id"] for each in found)
        return found, {graph_id: (await server.ask("GET", f"/graph/{graph_id}"))["name"] for graph_id in ids}


async def _print_lines(settings: Settings, run_id: str) -> None:
    """All lines that the run has when this begins."""
    async with asking.reading(settings) as server:
        after_seq, last_seq = 0, None
        while last_seq is None or after_seq < last_seq:
            params = {"after_seq": after_seq, "limit": PAGE_MAX}
            page = await server.ask("GET", f"/runs/{run_id}/logs", params=params)
            last_seq = page["last_seq"] if last_seq is None else last_seq
            for line in page["items"]:
                after_seq = line["seq"]
                print(text.full(line), flush=True)


async def _follow(settings: Settings, run_id: str) -> None:
    async with asking.reading(settings) as server:
        database = settings.database()
        if server.address is None and not database.is_shared and database.owner() is None:
            now = await server.ask("GET", f"/graph/state/{run_id}", params={"limit": 1})
            if asking.is_moving(now):
                asking.note(
                    f"run {run_id} is {now['status']}, and nobody executes it until a server runs on its database"
                )
        await asking.follow(server, run_id, text.full)


def _state(argument: str) -> dict[str, Any]:
    """The initial state that `--state` gives, as JSON or as @FILE."""
    file = Path(argument[1:]) if argument.startswith("@") else None
    name = "--state" if file is None else str(file)
    state = _decode(name, os.fsencode(argument) if file is None else _bytes_of(file))
    if not isinstance(state, dict):
        raise StartRefused(f"{name} is no JSON object, and a state is one")
    return state


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise StartRefused(f"cannot read {file}: {error.strerror}") from error


def _decode(name: str, content: bytes, depth_max: int = codec.DEPTH_MAX) -> Any:
    try:
        return codec.decode(content, depth_max)
    except NotJson as error:
        raise StartRefused(f"{name} is no JSON: {error}") from error
    except Invalid as error:
        raise StartRefused(f"{name} was refused: {error}") from error
