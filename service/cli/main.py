"""The command line: what `rungraph` understands, and the one line and the exit code in which it ends.

Exit codes: 0 done, 1 the run failed, 2 wrong usage or setting; 74 the disk failed to sync SQLite's file, 130 stopped
by Ctrl-C or SIGTERM, 141 where nobody reads what is printed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn

from service.cli.text import shown
from service.core.errors import StartRefused, Unavailable
from service.core.transitions import Status
from service.process import collector_paused
from service.settings import Settings

RUNS_LISTED = 20
COUNT_MAX = 1_000_000


def main() -> NoReturn:
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # A terminal without our arrows is no reason to end.
    try:
        arguments = _parser().parse_args()
        settings = _settings(arguments)
        code = _command(arguments.run)(settings, arguments)
    except (StartRefused, Unavailable) as refused:
        print(f"rungraph: {shown(str(refused))}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BrokenPipeError:
        # Whoever read has enough. Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    sys.exit(code)


def _command(name: str) -> Callable[[Settings, argparse.Namespace], int]:
    """Import a command, given as MODULE:FUNCTION, and nothing that only other commands need."""
    module, _, function = name.partition(":")
    with collector_paused():
        found: Callable[[Settings, argparse.Namespace], int] = getattr(
            importlib.import_module(f"service.cli.{module}"), function
        )
    return found


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise StartRefused(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    database = _Parser(add_help=False)
    database.add_argument("--database-url", metavar="URL", help="default: RUNGRAPH_DATABASE_URL, else ./rungraph.db")
    common = _Parser(add_help=False, parents=[database])
    common.add_argument(
        "--tools", action="append", metavar="X", help="a FILE.py or package.module with your tools; repeatable"
    )
    parser = _Parser(prog="rungraph", description="A durable workflow engine behind an HTTP API.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_servers(commands, common)
    _add_runs(commands, common, database)
    command = commands.add_parser("migrate", parents=[common], help="bring the database to this version's schema")
    command.set_defaults(run="serve:migrate_database")
    return parser


def _add_servers(commands: argparse._SubParsersAction[_Parser], common: _Parser) -> None:
    command = commands.add_parser("serve", parents=[common], help="serve the HTTP API and execute runs")
    command.add_argument("--host", help="default: RUNGRAPH_HOST, else 127.0.0.1")
    command.add_argument("--port", type=int, help="default: RUNGRAPH_PORT, else 8000; 0 takes a free one")
    command.add_argument("--no-engine", action="store_true", help="execute no runs: others do, on the same database")
    command.add_argument(
        "--root-path", default="", metavar="/PATH", help="where clients find it, behind a proxy that strips that"
    )
    command.set_defaults(run="serve:serve")

    command = commands.add_parser("engine", parents=[common], help="execute runs, without the HTTP API")
    command.set_defaults(run="serve:engine")


def _add_runs(commands: argparse._SubParsersAction[_Parser], common: _Parser, database: _Parser) -> None:
    command = commands.add_parser("demo", parents=[common], help="find and mend what is wrong with a table")
    command.add_argument("file", nargs="?", type=Path, metavar="FILE.csv", help="default: the bundled data set")
    _add_demo_options(command)
    command.set_defaults(run="demo:demo")

    command = commands.add_parser("run", parents=[common], help="run a graph to its end, showing its log")
    command.add_argument("file", type=Path, metavar="GRAPH.json", help="the graph's definition")
    command.add_argument("--state", metavar="JSON|@FILE", help="the initial state, or the file it is in; default: {}")
    command.set_defaults(run="runs:run")

    command = commands.add_parser("runs", parents=[database], help="list the newest runs")
    command.add_argument(
        "--limit", type=_count, default=RUNS_LISTED, metavar="N", help=f"the most runs; default: {RUNS_LISTED}"
    )
    command.add_argument("--status", choices=[str(status) for status in Status], help="only those that are so")
    command.set_defaults(run="runs:list_runs")

    command = commands.add_parser("logs", parents=[database], help="print the log of a run")
    command.add_argument("run_id", metavar="RUN_ID", help="the run's id, as `rungraph runs` shows it")
    command.add_argument("-f", "--follow", action="store_true", help="go on until the run is over")
    command.set_defaults(run="runs:logs")


def _add_demo_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--report", action="store_true", help="change nothing; say what would be")
    command.add_argument(
        "--allow",
        action="append",
        choices=["fill", "outliers", "duplicates", "text_in_numbers"],
        help="what may be done beyond what evidence supports; repeatable",
    )
    command.add_argument("--keep", action="append", metavar="COLUMN", help="a column that is never touched; repeatable")
    command.add_argument("--delimiter", metavar="MARK", help="what separates the file's fields; `tab` is a tab")
    command.add_argument("--quote", metavar="MARK", help="what quotes a text; empty, nothing does")
    command.add_argument("--encoding", metavar="NAME", help="the file's encoding")
    command.add_argument("--header", choices=["true", "false"], help="whether the first record has the names")
    command.add_argument("--skip", type=int, metavar="N", help="so many lines stand before the table")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= COUNT_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {COUNT_MAX}")
    return int(text)


def _settings(arguments: argparse.Namespace) -> Settings:
    """The environment's settings, those given on the command line in their place."""
    given = {name: getattr(arguments, name, None) for name in ("host", "port", "database_url")}
    given["database_url_source"] = None if given["database_url"] is None else "--database-url"
    tools = getattr(arguments, "tools", None)
    given["tools"] = tuple(tools) if tools else None
    settings = replace(
        Settings.from_environment(), **{name: value for name, value in given.items() if value is not None}
    )
    if not 0 <= settings.port <= 65_535:
        raise StartRefused(f"{settings.port} is no port")
    return settings
