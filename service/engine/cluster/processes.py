"""The processes in which a worker of the cluster calls tools. Idle processes are kept for each set of tools."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

from service.engine.guard.lifeline import Lifeline
from service.engine.isolation.launcher import SECRETS, Launcher
from service.engine.isolation.worker import ToolProcess


class Processes:
    """The processes of one worker. Any thread may call the methods."""

    def __init__(self, kept_max: int) -> None:
        """Keep at most `kept_max` sets of tools: those that were used last."""
        self._kept_max = kept_max
        self._tools: dict[str, str] = {}
        """Each set of tools as JSON, by its digest. The one that was used last is at the end."""
        self._idle: dict[tuple[str, ...], _Idle] = {}
        self._lock = threading.Lock()
        self._lifeline: Lifeline | None = None
        """Created with the first process. It ends all processes when the worker ends."""

    def learn(self, digest: str, tools: str) -> None:
        with self._lock:
            self._tools[digest] = tools
            for old in list(self._tools)[: -self._kept_max]:
                del self._tools[old]
                for key in [key for key in self._idle if key[0] == old]:
                    del self._idle[key]  # The processes end once they have been idle for long.

    def knows(self, digest: str) -> bool:
        with self._lock:
            if digest in self._tools:
                self._tools[digest] = self._tools.pop(digest)
            return digest in self._tools

    def take(self, digest: str, arguments: Sequence[str], state_bytes_max: int) -> ToolProcess:
        """Return an idle process with these tools, or a new one, whose `started` tells whether it could be started."""
        with self._lock:
            idle = self._idle.setdefault((digest, *arguments), _Idle(self._lock))
            if idle.processes:
                return idle.processes.pop()
            self._lifeline = self._lifeline or Lifeline()
            tools = json.loads(self._tools[digest])
        launcher = Launcher.here((sys.executable, *arguments), lambda: tools, SECRETS)
        process = ToolProcess(launcher, self._lifeline, 8 * state_bytes_max + 2**20, owner=idle)
        process.start()
        return process


class _Idle:
    """The idle processes with one set of tools; see ProcessOwner."""

    def __init__(self, lock: threading.Lock) -> None:
        self.processes: list[ToolProcess] = []
        self._lock = lock

    def take_back(self, process: ToolProcess) -> bool:
        with self._lock:
            self.processes.append(process)
        return True

    def retire(self, process: ToolProcess) -> bool:
        with self._lock:
            if process not in self.processes:
                return False
            self.processes.remove(process)
            return True

    def forget(self, process: ToolProcess) -> None:
        with self._lock, suppress(ValueError):
            self.processes.remove(process)
