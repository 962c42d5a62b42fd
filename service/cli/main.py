"""The command line `rungraph`: it runs one command, and turns an error into one line and an exit code.

Exit codes: 0 done; 1 the run did not complete, or the engine failed; 2 wrong usage, a wrong setting, or a call that was
refused or not answered; 74 the disk failed to sync SQLite's file; 130 stopped by Ctrl-C or SIGTERM; 141 nobody reads
what is printed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from io import TextIOWrapper
from typing import NoReturn

from service.cli.arguments import parser
from service.cli.text import shown
from service.core.errors import StartRefused, Unavailable
from service.process import collector_paused
from service.settings import Settings


def main() -> NoReturn:
    """Run the command that the process was started with, and end the process."""
    code = run_command()
    if "service.tools.registry" not in sys.modules:
        # No code of a user is loaded, so nothing has to run at exit. Python would take long to free all modules.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run_command() -> int:
    """Run the command of `sys.argv` and return the exit code."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # The terminal's encoding may lack our arrows.
    try:
        arguments = _parsed()
        settings = _settings(arguments)
        code = _command(arguments.run)(settings, arguments)
        sys.stdout.flush()
    except (StartRefused, Unavailable) as refused:
        print(f"rungraph: {shown(str(refused))}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BrokenPipeError:
        # Nobody reads the output any more. Python would report that again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    return code


def _parsed() -> argparse.Namespace:
    found = parser()
    if "_ARGCOMPLETE" in os.environ:
        with suppress(ImportError):
            import argcomplete

            argcomplete.autocomplete(found)
    return found.parse_args()


def _command(name: str) -> Callable[[Settings, argparse.Namespace], int]:
    """Return the function of a command, given as MODULE:FUNCTION. Only the module of this command is imported."""
    module, _, function = name.partition(":")
    with collector_paused():
        found: Callable[[Settings, argparse.Namespace], int] = getattr(
            importlib.import_module(f"service.cli.{module}"), function
        )
    return found


def _settings(arguments: argparse.Namespace) -> Settings:
    """Return the settings of the environment. Those of the command line take precedence."""
    given = {name: getattr(arguments, name, None) for name in ("host", "port", "database_url")}
    given["server_url"] = getattr(arguments, "url", None)
    given["database_url_source"] = None if given["database_url"] is None else "--database-url"
    tools = getattr(arguments, "tools", None)
    given["tools"] = tuple(tools) if tools else None
    settings = replace(
        Settings.from_environment(), **{name: value for name, value in given.items() if value is not None}
    )
    if not 0 <= settings.port <= 65_535:
        raise StartRefused(f"{settings.port} is no port")
    return settings
