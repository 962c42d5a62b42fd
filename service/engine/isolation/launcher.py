"""Start the processes that call isolated tools.

Such a process inherits the server's environment without the server's secrets: SECRETS and, if the database is
PostgreSQL, PGPASSWORD. A tool that needs secrets of its own reads them from variables with other names, which it
inherits like the rest of the environment. This prevents accidental leaks, such as a tool that logs its environment;
a hostile tool runs as the server's user and needs stronger isolation than a process.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.core.errors import StartRefused
from service.engine.guard.lifeline import Lifeline
from service.engine.isolation.messages import LIFELINE, PYTHONPATH_GIVEN

SECRETS = frozenset({"RUNGRAPH_API_TOKEN", "RUNGRAPH_DATABASE_URL", "RUNGRAPH_WEBHOOK_SECRET"})
"""The server's environment variables that no process of a tool inherits."""


def secrets_of(is_shared: bool) -> frozenset[str]:
    """Return the names of the environment variables that hold the server's secrets.

    A shared database is PostgreSQL, whose password may be in PGPASSWORD.
    """
    return SECRETS | {"PGPASSWORD"} if is_shared else SECRETS


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts processes that find the same modules and files as this process."""

    command: tuple[str, ...]
    folder: Path
    path: tuple[str, ...]
    tools: Callable[[], Any]
    """Returns the tools to load, as JSON; called for each process."""
    secrets: frozenset[str]

    @classmethod
    def here(cls, command: Sequence[str], tools: Callable[[], Any], secrets: Collection[str] = SECRETS) -> Launcher:
        """Make a launcher with the working directory and the module search path that this process has now."""
        folder = Path.cwd()
        path = tuple(entry or str(folder) for entry in sys.path)
        return cls(tuple(command), folder, path, tools, frozenset(secrets))

    def start(self, lifeline: Lifeline) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Start a process. Return it and our end of its standard input, a socket. Raise StartRefused if that fails."""
        if not self.command:
            raise StartRefused("this server has no command that starts one")
        try:
            ours, theirs = socket.socketpair()
            with theirs, ExitStack() as undone:
                undone.enter_context(ours)
                process = subprocess.Popen(
                    self.command,
                    stdin=theirs.fileno(),
                    cwd=self.folder,
                    env=self._environment(lifeline),
                    pass_fds=(lifeline.reading,),
                    start_new_session=True,  # Ctrl-C in the server's terminal must reach only the server.
                )
                undone.pop_all()
            return process, ours
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise StartRefused(str(error)) from error

    def _environment(self, lifeline: Lifeline) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if name not in self.secrets}
        environment[PYTHONPATH_GIVEN] = os.environ.get("PYTHONPATH", "")
        environment["PYTHONPATH"] = os.pathsep.join(self.path)
        environment[LIFELINE] = str(lifeline.reading)
        return environment
