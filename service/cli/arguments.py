"""The arguments of `rungraph`: every command with its options. Importing it imports no module of a command."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from service.core.errors import StartRefused
from service.core.queueing.limits import PRIORITY_MAX, PRIORITY_MIN
from service.core.syntax.numbers import NUMBER_MAX
from service.core.transitions import OVER, Status
from service.settings import read_duration_s
from service.version import VERSION

RUNS_LISTED = 20
STEPS_LISTED = 100
COUNT_MAX = 1_000_000

_STATUSES = [str(status) for status in Status]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise StartRefused(f"{message}; see {self.prog} --help")


class _HelpFormatter(argparse.HelpFormatter):
    """A formatter with room for the longest command before its help: argparse ignores that commands are indented."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = len("  schedules  ")


class _Commands:
    """Adds commands to the parser. `function` names the function of a command, as MODULE:FUNCTION in this package."""

    def __init__(self, commands: argparse._SubParsersAction[_Parser]) -> None:
        self._commands = commands
        self._database = _Parser(add_help=False)
        self._database.add_argument(
            "--database-url", metavar="URL", help="default: RUNGRAPH_DATABASE_URL, else ./rungraph.db"
        )
        self._tools = _Parser(add_help=False)
        self._tools.add_argument(
            "--tools", action="append", metavar="X", help="a FILE.py or package.module with your tools; repeatable"
        )
        self._server = _Parser(add_help=False)
        self._server.add_argument(
            "--url", metavar="URL", help="ask this server, with the token in RUNGRAPH_API_TOKEN if there is one"
        )
        self._json = _Parser(add_help=False)
        self._json.add_argument("--json", action="store_true", help="print JSON, for programs")

    def add(
        self, name: str, function: str, help: str, *, asks: bool = True, prints: bool = True, tools: bool = False
    ) -> _Parser:
        """Add a command. If it `asks` a server, it takes --url, and if it also `prints` the answer, it takes --json.

        With `tools`, it takes --tools, which name the user's tools.
        """
        parents = [self._database, *([self._tools] if tools else [])]
        parents += [*([self._server] if asks else []), *([self._json] if asks and prints else [])]
        command = self._commands.add_parser(name, parents=parents, help=help, description=help[0].upper() + help[1:])
        command.set_defaults(run=function, command=name)
        return command

    def add_for_run(self, name: str, function: str, help: str) -> _Parser:
        """Add a command about one run."""
        command = self.add(name, function, help)
        command.add_argument("run_id", metavar="RUN_ID", help="the id of the run, as `rungraph runs` prints it")
        return command


def parser() -> argparse.ArgumentParser:
    description = "A durable workflow engine behind an HTTP API."
    found = _Parser(prog="rungraph", description=description, formatter_class=_HelpFormatter)
    found.add_argument("--version", action="version", version=f"rungraph {VERSION}")
    commands = _Commands(found.add_subparsers(required=True, metavar="COMMAND"))
    for add in (
        _add_servers,
        _add_starts,
        _add_lists,
        _add_looks,
        _add_steering,
        _add_limits,
        _add_graphs,
        _add_schedules,
        _add_keeping,
    ):
        add(commands)
    commands.add("migrate", "serve:migrate_database", "bring the database to the schema of this version", asks=False)
    return found


def _add_servers(commands: _Commands) -> None:
    command = commands.add("serve", "serve:serve", "serve the HTTP API and execute runs", asks=False, tools=True)
    command.add_argument("--host", help="default: RUNGRAPH_HOST, else 127.0.0.1")
    command.add_argument("--port", type=int, help="default: RUNGRAPH_PORT, else 8000; 0 takes a free port")
    command.add_argument("--no-engine", action="store_true", help="execute no runs; other servers execute them")
    command.add_argument(
        "--root-path", default="", metavar="/PATH", help="the prefix that a proxy strips before it passes calls on"
    )
    commands.add("engine", "serve:engine", "execute runs, without the HTTP API", asks=False, tools=True)
    command = commands.add("mcp", "mcp.serve:serve", "let an assistant look at runs, over stdio", prints=False)
    command.add_argument("--allow-writes", action="store_true", help="let it also start runs and send signals")


def _add_starts(commands: _Commands) -> None:
    command = commands.add("demo", "demo:demo", "find and repair what is wrong with a table", asks=False, tools=True)
    command.add_argument("file", nargs="?", type=Path, metavar="FILE.csv", help="default: the bundled data set")
    _add_demo_options(command)
    command = commands.add("create", "control:create", "store a graph and print its id", tools=True)
    command.add_argument("file", type=Path, metavar="GRAPH.json", help="the definition of the graph")
    command = commands.add("run", "runs:run", "run a graph to its end, and print its log and its state", tools=True)
    command.add_argument("file", nargs="?", type=Path, metavar="GRAPH.json", help="the definition of the graph")
    command.add_argument("--graph", metavar="NAME", help="the latest graph of this name, or the graph with this id")
    command.add_argument("--state", metavar="JSON|@FILE", help="the initial state, or the file it is in; default: {}")
    command.add_argument("--tag", action="append", type=_tag, metavar="KEY:VALUE", help="a tag of the run; repeatable")
    command.add_argument(
        "--priority",
        type=_priority,
        metavar="N",
        help="-100 to 100; runs with a higher one are claimed first; default: 0",
    )


def _add_limits(commands: _Commands) -> None:
    command = commands.add("limits", "control:limits", "list, set or delete the limits on attempts")
    command.add_argument("action", nargs="?", choices=["list", "set", "delete"], default="list", help="default: list")
    command.add_argument("name", nargs="?", metavar="NAME", help="the name of the limit")
    command.add_argument("--max", type=_count, metavar="N", help="the most attempts at once, or within the period")
    command.add_argument("--per", type=_duration_s, metavar="1m", help="the period, in d, h, m or s")


def _add_demo_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--report", action="store_true", help="change nothing; print what would be changed")
    command.add_argument(
        "--allow",
        action="append",
        choices=["fill", "outliers", "duplicates", "text_in_numbers"],
        help="a change that is allowed without evidence in the table; repeatable",
    )
    command.add_argument("--keep", action="append", metavar="COLUMN", help="a column that is never changed; repeatable")
    command.add_argument("--delimiter", metavar="MARK", help="the separator of the file's fields; `tab` is a tab")
    command.add_argument("--quote", metavar="MARK", help="the quote around texts; empty if there is none")
    command.add_argument("--encoding", metavar="NAME", help="the encoding of the file")
    command.add_argument("--header", choices=["true", "false"], help="whether the first record has the names")
    command.add_argument("--skip", type=int, metavar="N", help="the number of lines before the table")


def _add_lists(commands: _Commands) -> None:
    command = commands.add("runs", "runs:list_runs", "list the newest runs")
    _add_limit(command, RUNS_LISTED, "the most runs")
    command.add_argument("--status", choices=_STATUSES, help="only runs of this status")
    command.add_argument("--graph", metavar="NAME", help="only runs of graphs of this name")
    command.add_argument("--graph-id", metavar="ID", help="only runs of this graph")
    command.add_argument("--tag", metavar="KEY:VALUE", help="only runs with this tag")
    command.add_argument("--parent", metavar="RUN_ID", help="only children of this run; `none`: runs without a parent")
    command.add_argument("--id-prefix", metavar="TEXT", help="only runs whose ids begin like this")
    commands.add("tools", "inspect:tools", "list the tools that graphs can call", tools=True)


def _add_looks(commands: _Commands) -> None:
    command = commands.add_for_run("state", "inspect:state", "print where a run is, and its state")
    command.add_argument("--step", type=_number, metavar="N", help="the state after this step; 0: the initial state")
    commands.add_for_run("why", "inspect:why", "print why a run is where it is")
    command = commands.add_for_run("steps", "inspect:steps", "list the steps of a run")
    command.add_argument("--after", type=_number, default=0, metavar="N", help="only steps after this one")
    _add_limit(command, STEPS_LISTED, "the most steps")
    command = commands.add_for_run("logs", "runs:logs", "print the log of a run")
    command.add_argument("-f", "--follow", action="store_true", help="go on until the run is over")


def _add_steering(commands: _Commands) -> None:
    command = commands.add_for_run("signal", "control:signal", "send a run a signal")
    command.add_argument("name", metavar="NAME", help="the name of the signal")
    command.add_argument("payload", nargs="?", default="null", metavar="JSON|@FILE", help="default: null")
    commands.add_for_run("cancel", "control:cancel", "cancel a run")
    commands.add_for_run("pause", "control:pause", "pause a run at its next step")
    command = commands.add_for_run("resume", "control:resume", "let a paused run go on, or a failed one try again")
    command.add_argument("--patch", metavar="JSON|@FILE", help="a JSON Merge Patch of the state")
    command.add_argument("--max-steps", type=_count, metavar="N", help="the most steps of the run, in all")
    command = commands.add_for_run("fork", "control:fork", "start a new run from the state of another one")
    command.add_argument("--step", type=_number, metavar="N", help="the step to start after; default: the last")
    command.add_argument("--patch", metavar="JSON|@FILE", help="a JSON Merge Patch of that state")
    command.add_argument("--graph", metavar="ID", help="the graph of the new run; default: the same")
    command.add_argument("--node", metavar="NAME", help="the node to start at; default: where the step went")


def _add_graphs(commands: _Commands) -> None:
    command = commands.add("graph", "inspect:show_graph", "show a graph")
    command.add_argument("action", choices=["show"], help="print its definition")
    command.add_argument("graph", metavar="NAME|ID", help="its id, or its name for the latest of that name")
    command = commands.add("backtest", "control:backtest", "print where runs would have gone by a graph's edges")
    command.add_argument("graph", metavar="GRAPH_ID", help="the graph whose edges are asked")
    command.add_argument("--runs", required=True, metavar="GRAPH_ID", help="the graph whose runs are taken")
    command.add_argument("--status", choices=_STATUSES, help="only runs of this status")
    command.add_argument("--limit", type=_count, metavar="N", help="the most runs; default: 100")
    commands.add("schema", "inspect:schema", "print the JSON Schema of graph documents", asks=False)


def _add_schedules(commands: _Commands) -> None:
    command = commands.add("schedules", "operations.schedules:schedules", "list schedules, or change one")
    actions = ("list", "show", "set", "pause", "resume", "trigger", "delete")
    command.add_argument("action", nargs="?", choices=actions, default="list", help="default: list")
    command.add_argument("name", nargs="?", metavar="NAME", help="the name of the schedule, except for list")
    only = command.add_argument_group("options of set")
    only.add_argument("--graph", metavar="NAME|ID", help="the graph of its runs; by its name, the latest at each tick")
    only.add_argument("--cron", metavar="'M H D M W'", help="minute, hour, day of the month, month, day of the week")
    only.add_argument("--every", type=_duration_s, metavar="10m", help="the interval between ticks, in d, h, m or s")
    only.add_argument("--timezone", metavar="ZONE", help="the time zone of --cron, such as Europe/Berlin; default: UTC")
    only.add_argument("--state", metavar="JSON|@FILE", help="the initial state of its runs; default: {}")
    only.add_argument("--tag", action="append", type=_tag, metavar="KEY:VALUE", help="a tag of its runs; repeatable")
    only.add_argument("--overlap", choices=["skip", "start"], help="while a run is unfinished; default: skip")
    only.add_argument("--catch-up", choices=["one", "all", "none"], help="which missed ticks start runs; default: one")


def _add_keeping(commands: _Commands) -> None:
    command = commands.add("prune", "operations.keeping:prune", "delete runs that ended long ago, with their files")
    command.add_argument(
        "--older-than", required=True, type=_duration_s, metavar="30d", help="how long ago, in d, h, m or s"
    )
    over = [str(status) for status in Status if status in OVER]
    command.add_argument("--status", action="append", choices=over, help="only runs of this status; repeatable")
    command.add_argument("--graph", metavar="NAME", help="only runs of graphs of this name")
    command.add_argument("--keep-last", type=_number, default=0, metavar="N", help="the newest runs of a graph stay")
    command.add_argument("--dry-run", action="store_true", help="only count the runs")
    command = commands.add(
        "backup", "operations.keeping:backup", "save a SQLite database and the runs' files", asks=False
    )
    command.add_argument("file", type=Path, metavar="FILE.tar", help="the archive to make")
    command = commands.add("restore", "operations.keeping:restore", "make a database from a backup", asks=False)
    command.add_argument("file", type=Path, metavar="FILE.tar", help="an archive that `rungraph backup` has made")
    command.add_argument("--resume", action="store_true", help="let unfinished runs go on; otherwise they are paused")


def _add_limit(command: argparse.ArgumentParser, default: int, what: str) -> None:
    command.add_argument("--limit", type=_count, default=default, metavar="N", help=f"{what}; default: {default}")


def _integer(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {least} to {most}")
        return int(text)

    return read


_count: Callable[[str], Any] = _integer(1, COUNT_MAX)
_number: Callable[[str], Any] = _integer(0, NUMBER_MAX)


def _priority(text: str) -> int:
    if re.fullmatch(r"-?[0-9]{1,3}", text, re.ASCII) is None or not PRIORITY_MIN <= int(text) <= PRIORITY_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from {PRIORITY_MIN} to {PRIORITY_MAX}")
    return int(text)


def _duration_s(text: str) -> float:
    try:
        return read_duration_s(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: {error}") from error


def _tag(text: str) -> tuple[str, str]:
    key, colon, value = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is no tag: write KEY:VALUE")
    return key, value
