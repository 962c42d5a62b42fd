"""Start and end the cluster of this machine: a process with a scheduler, which starts a worker for each processor."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing, suppress

from service.core.errors import StartRefused
from service.engine.cluster.settings import ClusterSettings
from service.engine.guard.lifeline import Lifeline
from service.engine.isolation.launcher import Launcher
from service.engine.isolation.messages import Connection

START_S = 60.0
MESSAGE_BYTES_MAX = 2**16


class LocalCluster:
    """A cluster on this machine that ends with the server, even if the server is killed."""

    def __init__(self, settings: ClusterSettings, secrets: frozenset[str]) -> None:
        self._launcher = Launcher.here((sys.executable, *settings.local_arguments), dict, secrets)
        self._lifeline: Lifeline | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._end: socket.socket | None = None
        """Our end of the process's standard input. The kernel closes it when the server ends."""
        self._address = ""
        self._is_closed = False

    async def address(self) -> str:
        """Return the scheduler's address. Start the cluster if it is not running. Raise OSError if that fails."""
        if self._process is not None and self._process.poll() is None:
            return self._address
        self._kill()
        self._address = await asyncio.to_thread(self._start)
        return self._address

    def close(self) -> None:
        """Kill all processes of the cluster at once."""
        self._is_closed = True
        self._kill()
        if self._lifeline is not None:
            self._lifeline.close()

    def _start(self) -> str:
        self._lifeline = self._lifeline or Lifeline()
        try:
            self._process, self._end = self._launcher.start(self._lifeline)
        except StartRefused as error:
            raise OSError(str(error)) from error
        if self._is_closed:
            self._kill()
        with closing(self._end.dup()) as reading, suppress(EOFError):  # The process ended without an answer.
            match Connection(reading, MESSAGE_BYTES_MAX).receive(None):
                case ["ready", str(address)]:
                    return address
                case ["refused", str(because)]:
                    raise OSError(because)
        raise OSError(f"it ended with exit code {self._process.wait()}")

    def _kill(self) -> None:
        if self._process is not None:
            with suppress(OSError):  # The process has ended already.
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._end is not None:
            self._end.close()
            self._end = None
