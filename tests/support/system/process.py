"""Real servers in processes of their own, on free ports, to be asked, stopped, frozen and killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.checkout import CHECKOUT
from tests.support.migrated import copy_to
from tests.support.system.preloaded import Fork, can_fork

DEADLINE_S = 120.0
"""Only against hanging: no test says how long anything takes."""
READY = re.compile(r"Rungraph serves (http\S+)|Rungraph executes |INFO: +Uvicorn running on (http\S+)")


_CLIENT = httpx.Client(
    timeout=DEADLINE_S,
    trust_env=False,
    verify=False,  # Certificates take longer to load than an answer takes.
    limits=httpx.Limits(max_keepalive_connections=0),
)
"""A connection for each request, as of many clients."""


class Server:
    """`rungraph serve`, or `what` else it is told; every answer of it that is a 5xx is an error here."""

    def __init__(
        self,
        folder: Path,
        *,
        tools: Sequence[str | Path] = (),
        what: Sequence[str] = ("serve", "--port", "0"),
        command: Sequence[str] = (),
        within: Sequence[str] = (),
        **environment: str,
    ) -> None:
        """`command` stands in place of all of rungraph's own; `within` is a command that executes another."""
        self.folder = folder
        self.database = folder / "rungraph.db"
        self._tools = tools
        self._what = what
        self._command = command
        self._within = within
        self._environment = environment
        self.process: subprocess.Popen[str] | Fork
        self.url = ""
        self._said: list[str] = []
        self._listener: threading.Thread | None = None

    def start(self) -> Server:
        """Start, and return when it says where it serves."""
        self.launch()
        return self.wait_until_ready()

    def launch(self) -> None:
        tools = [argument for tool in self._tools for argument in ("--tools", str(tool))]
        # Bytecode may be written whatever the environment says: without it, each server compiles all its modules.
        left_out = ("RUNGRAPH_", "PYTHONDONTWRITEBYTECODE")
        known = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        env = {**known, "PYTHONPATH": str(CHECKOUT), **self._environment}
        own = [*self._within, sys.executable, "-m", "service", *self._what, *tools]
        command = list(self._command) or own
        if command == own and "RUNGRAPH_DATABASE_URL" not in self._environment:
            copy_to(self.database)  # To migrate a new one takes half of a server's start.
        if can_fork(command, env):
            self.process = Fork(command, cwd=self.folder, env=env)
            return
        self.process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_until_ready(self) -> Server:
        """From here on all that it prints is read as it comes: a full pipe would hold it up."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.append(line)
            if ready := READY.match(line):
                self.url = ready[1] or ready[2] or ""
                self._listener = threading.Thread(target=self._listen, args=(self.process.stdout,), daemon=True)
                self._listener.start()
                return self
        raise AssertionError(f"the server ended with {self.process.wait()}: {self.said}")

    @property
    def said(self) -> str:
        """All that it has printed so far."""
        return "".join(self._said)

    def call(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        answer = self.ask(method, path, **arguments)
        assert answer.status_code < 500, answer.text
        return answer

    def ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Like `call`, a 503 being an answer here."""
        answer = _CLIENT.request(method, self.url + path, **arguments)
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        return answer

    def create(self, document: dict[str, Any]) -> str:
        answer = self.call("POST", "/graph/create", json=document)
        assert answer.status_code in (200, 201), answer.text
        return str(answer.json()["graph_id"])

    def run(self, graph_id: str, **state: Any) -> str:
        answer = self.call("POST", "/graph/run", json={"graph_id": graph_id, "initial_state": state})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["run_id"])

    def follow(self, run_id: str, *, until: Sequence[str] = ("completed", "failed", "cancelled")) -> dict[str, Any]:
        """The run once it has one of the statuses `until`."""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            run: dict[str, Any] = self.call("GET", f"/graph/state/{run_id}").json()
            if run["status"] in until:
                return run
            time.sleep(0.05)
        raise AssertionError(f"run {run_id} is still {run['status']} at step {run['step']}")

    def freeze(self) -> None:
        """SIGSTOP, and return when the process no longer does anything."""
        self.process.send_signal(signal.SIGSTOP)
        status = Path(f"/proc/{self.process.pid}/stat")
        until(lambda: status.read_text().rpartition(")")[2].split()[0] == "T")

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._close()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        code = self.process.wait(DEADLINE_S)
        self._close()
        return code

    def output(self) -> str:
        """All that it printed, once it has ended."""
        assert self.process.stdout is not None
        if self._listener is None:
            self._said.extend(self.process.stdout)
        self.process.wait(DEADLINE_S)
        self._close()
        return self.said

    def _listen(self, printed: Iterable[str]) -> None:
        for line in printed:
            self._said.append(line)

    def _close(self) -> None:
        if self._listener is not None:
            self._listener.join(DEADLINE_S)
            self._listener = None
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def running(*servers: Server) -> Iterator[None]:
    """All of them, started at once; those that are still there at the end are killed.

    An error is noted with what each server has printed and whether it has ended.
    """
    launched: list[Server] = []
    try:
        for server in servers:
            server.launch()
            launched.append(server)
        for server in servers:
            server.wait_until_ready()
        yield
    except BaseException as error:
        for server in launched:
            error.add_note(f"{server.url or 'a server'} (exit code {server.process.poll()}) printed:\n{server.said}")
        raise
    finally:
        for server in launched:
            if server.process.poll() is None:
                server.kill()


@contextmanager
def serving(folder: Path, **options: Any) -> Iterator[Server]:
    server = Server(folder, **options)
    with running(server):
        yield server


def until(true: Callable[[], Any], *, within_s: float = DEADLINE_S, every_s: float = 0.05) -> None:
    """Return when `true()` is."""
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(every_s)
