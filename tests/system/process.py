"""A real server in a process of its own, on a free port, to be asked, stopped and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

DEADLINE_S = 60.0


class Server:
    """`rungraph serve`; every answer of it that is a 5xx is an error here."""

    def __init__(
        self, folder: Path, *, tools: Sequence[str | Path] = (), command: Sequence[str] = (), **environment: str
    ) -> None:
        self.folder = folder
        self.database = folder / "rungraph.db"
        self._tools = tools
        self._command = command
        self._environment = environment
        self.process: subprocess.Popen[str]
        self.url = ""

    def start(self) -> Server:
        """Start, and return when it says where it serves."""
        self.launch()
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "Rungraph serves " in line:
                self.url = line.split("Rungraph serves ")[1].split()[0]
                return self
        raise AssertionError(f"the server ended with {self.process.wait()}")

    def launch(self) -> None:
        tools = [argument for tool in self._tools for argument in ("--tools", str(tool))]
        serve = [sys.executable, "-m", "service", "serve", "--port", "0", *tools]
        known = {name: value for name, value in os.environ.items() if not name.startswith("RUNGRAPH_")}
        self.process = subprocess.Popen(
            list(self._command) or serve,
            cwd=self.folder,
            env={**known, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), **self._environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def call(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        answer = httpx.request(method, self.url + path, timeout=DEADLINE_S, trust_env=False, **arguments)
        assert answer.status_code < 500, answer.text
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

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._close()

    def stop(self) -> tuple[int, float]:
        """SIGTERM; the exit code, and how many seconds it took."""
        begun = time.monotonic()
        self.process.terminate()
        code = self.process.wait(DEADLINE_S)
        self._close()
        return code, time.monotonic() - begun

    def output(self) -> str:
        """All that it printed, once it has ended."""
        assert self.process.stdout is not None
        text = self.process.stdout.read()
        self.process.wait(DEADLINE_S)
        self._close()
        return text

    def _close(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def serving(folder: Path, **options: Any) -> Iterator[Server]:
    server = Server(folder, **options).start()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()
