"""The command line. Exit codes: 0 done, 1 the run failed, 2 wrong usage or setting, in one clear line."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any, NoReturn

import httpx
import uvicorn

from service import example
from service.core.errors import StartRefused
from service.main import create_app, database_of, execute, folder_of_runs, make_folder, url_of
from service.settings import Settings
from service.store.schema import migrate
from service.tools import registry

POLL_S = 0.2


def main() -> NoReturn:
    try:
        arguments = _parser().parse_args()
        settings = _settings(arguments)
        code = arguments.run(settings, arguments)
    except StartRefused as refused:
        print(f"rungraph: {refused}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise StartRefused(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument("--database-url", metavar="URL", help="default: RUNGRAPH_DATABASE_URL, else ./rungraph.db")
    common.add_argument(
        "--tools", action="append", metavar="X", help="a FILE.py or package.module with your tools; repeatable"
    )
    parser = _Parser(prog="rungraph", description="A durable workflow engine behind an HTTP API.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("serve", parents=[common], help="serve the HTTP API and execute runs")
    command.add_argument("--host", help="default: RUNGRAPH_HOST, else 127.0.0.1")
    command.add_argument("--port", type=int, help="default: RUNGRAPH_PORT, else 8000; 0 takes a free one")
    command.add_argument("--no-engine", action="store_true", help="execute no runs: others do, on the same database")
    command.set_defaults(run=_serve)

    command = commands.add_parser("engine", parents=[common], help="execute runs, without the HTTP API")
    command.set_defaults(run=_engine)

    command = commands.add_parser("demo", parents=[common], help="find and mend what is wrong with a table")
    command.add_argument("file", nargs="?", type=Path, metavar="FILE.csv", help="default: the bundled data set")
    command.set_defaults(run=_demo)

    command = commands.add_parser("migrate", parents=[common], help="bring the database to this version's schema")
    command.set_defaults(run=_migrate)
    return parser


def _settings(arguments: argparse.Namespace) -> Settings:
    """The environment's settings, those given on the command line in their place."""
    given = {name: getattr(arguments, name, None) for name in ("host", "port", "database_url")}
    given["tools"] = tuple(arguments.tools) if arguments.tools else None
    settings = replace(
        Settings.from_environment(), **{name: value for name, value in given.items() if value is not None}
    )
    if not 0 <= settings.port <= 65_535:
        raise StartRefused(f"{settings.port} is no port")
    return settings


def _migrate(settings: Settings, _: argparse.Namespace) -> int:
    database = database_of(settings)
    ownership = database.own("rungraph migrate")
    try:
        print(f"{database.name} has schema {', '.join(migrate(database))}")
    finally:
        ownership.release()
    return 0


def _serve(settings: Settings, arguments: argparse.Namespace) -> int:
    _refuse_open_address(settings)
    registry.load(settings.tools, built_in=example.TOOLS)
    database = database_of(settings)
    listener = _listen(settings.host, settings.port)
    address = url_of(settings.host, listener.getsockname()[1])
    owned = database.own(address)
    # Whatever forbids the start is said here in one line, and not from within uvicorn.
    migrate(database)
    make_folder(folder_of_runs(settings, database))
    _show_warnings()
    app = create_app(settings, address, owned, with_engine=not arguments.no_engine)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    # Before uvicorn listens for it, a SIGTERM counts as well; at its end uvicorn raises it once more, and a
    # stop that was asked for is a success.
    signal.signal(signal.SIGTERM, lambda *_: setattr(server, "should_exit", True))
    others = ", others execute its runs" if arguments.no_engine else ""
    print(f"Rungraph serves {address} (its calls: {address}/docs){others}, stop it with Ctrl-C", flush=True)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return 0


def _engine(settings: Settings, _: argparse.Namespace) -> int:
    _show_warnings()
    address = f"engine {os.getpid()} on {socket.gethostname()}"
    what = f"Rungraph executes the runs in {database_of(settings).name}, stop it with Ctrl-C"
    asyncio.run(execute(settings, address, lambda: print(what, flush=True)))
    return 0


def _show_warnings() -> None:
    errors = logging.StreamHandler()
    errors.setLevel(logging.WARNING)
    logging.basicConfig(handlers=[errors], format="%(levelname)s: %(name)s: %(message)s")


def _refuse_open_address(settings: Settings) -> None:
    if settings.api_token or settings.allow_anonymous or settings.host == "localhost":
        return
    try:
        local = ip_address(settings.host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise StartRefused(
            f"{settings.host} can be reached from outside: set RUNGRAPH_API_TOKEN, or RUNGRAPH_ALLOW_ANONYMOUS=1"
        )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
        # Connections inherit it. asyncio does not set it on sockets made like this one, and without it an answer
        # of two packets waits 40 ms for the client's acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise StartRefused(f"cannot listen on {host} port {port}: {error.strerror or error}") from error


def _demo(settings: Settings, arguments: argparse.Namespace) -> int:
    with ExitStack() as opened:
        try:
            csv = None if arguments.file is None else opened.enter_context(arguments.file.open("rb"))
        except OSError as error:
            raise StartRefused(f"cannot read {arguments.file}: {error.strerror}") from error
        try:
            return asyncio.run(_run_demo(settings, csv))
        except httpx.HTTPError as error:
            raise StartRefused(f"the server does not answer: {error}") from error


async def _run_demo(settings: Settings, csv: IO[bytes] | None) -> int:
    """Start the example, follow its lines, show what came of it."""
    async with _client(settings) as client:
        if csv is None:
            started = await client.post("/demo/run_data_quality")
        else:
            headers = {"content-type": "text/csv"}
            started = await client.post("/demo/run_data_quality", content=_chunks(csv), headers=headers)
        if started.status_code != 202:
            raise StartRefused(f"the run was refused: {started.json().get('detail')}")
        run_id = started.json()["run_id"]
        print(f"run {run_id}")
        run = await _follow(client, run_id)
        folder = folder_of_runs(settings, database_of(settings)) / run_id
    if run["status"] != "completed":
        print(f"the run is {run['status']}: {(run['error'] or {}).get('message', 'see its log')}", file=sys.stderr)
        return 1
    print(_report(run["state"], folder))
    return 0


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the server that owns the database; where there is none, of one within this process."""
    headers = {"authorization": f"Bearer {settings.api_token}"} if settings.api_token else {}
    timeout = httpx.Timeout(60)
    owner = database_of(settings).owner()
    if owner is not None:
        async with httpx.AsyncClient(base_url=owner, headers=headers, timeout=timeout, trust_env=False) as client:
            yield client
        return
    app = create_app(settings, "rungraph demo, which serves nobody")
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        base = "http://127.0.0.1"
        async with httpx.AsyncClient(transport=transport, base_url=base, headers=headers, timeout=timeout) as client:
            yield client


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := file.read(2**20):
        yield chunk


async def _follow(client: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    """Print the run's lines as they come, until it is over or paused; the run as it then is."""
    after_seq = 0
    while True:
        answer = await client.get(f"/graph/state/{run_id}", params={"after_seq": after_seq})
        answer.raise_for_status()
        run: dict[str, Any] = answer.json()
        for line in run["logs"]:
            after_seq = line["seq"]
            mark = {"warning": "!", "error": "✗"}.get(line["level"], " ")
            print(f"{line['ts'][11:23]} {mark} {line['node'] or '':9} {line['message']}", flush=True)
        if after_seq >= run["last_seq"] and run["status"] not in ("queued", "running", "waiting"):
            return run
        await asyncio.sleep(POLL_S)


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
