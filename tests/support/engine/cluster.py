"""A Dask cluster in processes of its own, whose workers call the tools of `hostile`, and a server's link to it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.engine.cluster.link import ClusterLink
from service.engine.cluster.settings import ClusterSettings
from tests.support.checkout import CHECKOUT
from tests.support.engine.calls import COMMAND, DEADLINE_S
from tests.support.system.preloaded import DASK, Fork, Template, can_fork

SETTINGS = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "60s"}


@dataclass
class Dask:
    """A scheduler and its workers by name."""

    folder: Path
    port: int = 0
    scheduler: subprocess.Popen[bytes] | Fork | None = None
    workers: dict[str, subprocess.Popen[bytes] | Fork] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def start_scheduler(self) -> None:
        """Start it at the same port as before, so that a link finds it again."""
        self.port = self.port or _free_port()
        options = ("--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard", "--no-jupyter")
        self.scheduler = self._start("dask_scheduler", *options)
        _until(lambda: _listens(self.port))

    def start_worker(self, name: str, *options: str) -> None:
        fixed = ("--no-nanny", "--no-dashboard", "--nthreads", "2", "--name", name, "--memory-limit", "0")
        self.workers[name] = self._start("dask_worker", self.address, "--host", "127.0.0.1", *fixed, *options)

    def kill_scheduler(self) -> None:
        assert self.scheduler is not None
        _kill(self.scheduler)

    def kill_worker(self, name: str) -> None:
        _kill(self.workers.pop(name))

    def stop(self) -> None:
        for worker in self.workers.values():
            _kill(worker)
        if self.scheduler is not None:
            self.kill_scheduler()

    def _start(self, module: str, *options: str) -> subprocess.Popen[bytes] | Fork:
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), **SETTINGS}
        command = (sys.executable, "-m", f"distributed.cli.{module}", *options)
        with (self.folder / f"{module}.log").open("ab") as log:
            if can_fork(command, environment):
                template = Template(DASK, tuple(SETTINGS.items()))
                return Fork(command, cwd=self.folder, env=environment, log=log, template=template)
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)


@contextmanager
def dask(folder: Path, *workers: str) -> Iterator[Dask]:
    made = Dask(folder)
    made.start_scheduler()
    try:
        for name in workers:
            made.start_worker(name)
        yield made
    finally:
        made.stop()


@contextmanager
def linked(address: str | None, **settings: Any) -> Iterator[ClusterLink]:
    """The link of a server to the cluster."""
    link = ClusterLink(ClusterSettings(address, 100, **{"tool_arguments": COMMAND[1:], **settings}))
    link.start()
    try:
        yield link
    finally:
        link.close()


def _kill(process: subprocess.Popen[bytes] | Fork) -> None:
    with process:
        process.kill()


def _free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _listens(port: int) -> bool:
    with closing(socket.socket()) as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


def _until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)
