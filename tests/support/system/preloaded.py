"""Start Python programs as forks of a process that has imported everything already.

To import FastAPI, SQLAlchemy and the service takes most of the processor time of a start, and the tests start some
three hundred processes. Each process of pytest has one such process, and others with other modules or another
environment, which are started at their first use. For each request such a process forks, and it reports how the fork
has ended.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import inspect
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import types
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from service.core import traces
from tests.support.checkout import CHECKOUT

MODULES = (
    *("service.main", "service.server", "service.cli.main", "service.cli.serve", "service.cli.runs"),
    *(
        "uvicorn.protocols.http.httptools_impl",
        "uvicorn.protocols.websockets.websockets_sansio_impl",
        "uvicorn.lifespan.on",
    ),
    *("uvicorn.loops.asyncio", "uvicorn.protocols.websockets.auto", "fastapi.telemetry._runtime"),
    *("anyio._backends._asyncio", "anyio.streams.memory", "anyio.streams.tls"),
    *("alembic.command", "alembic.config", "alembic.runtime.environment"),
    *("sqlalchemy.dialects.sqlite.aiosqlite", "aiosqlite", "psycopg"),
    *("service.store.database.opening", "service.store.database.postgres.listen"),
    *("service.store.database.postgres.connections", "service.store.database.postgres.session"),
)
"""What a server has imported once it serves."""
SPECIAL = ("PYTHON", "LD_", "MALLOC_", "TZ", "LANG", "LC_")
"""Beginnings of the names of variables that Python or the C library reads as it starts."""
DASK = (
    *("distributed", "distributed.cli.utils", "distributed.scheduler", "distributed.worker", "distributed.preloading"),
    *("distributed.protocol.numpy", "distributed.http.scheduler", "distributed.http.worker", "tornado.httpserver"),
    "service.engine.cluster.worker",
)
"""What the scheduler and the workers of a cluster have imported."""
HARMLESS = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
INTEGER_BYTES = 4

_one_at_a_time = threading.Lock()
"""Tests start servers on several threads, whose requests must not mix."""


def can_fork(command: Sequence[str], env: Mapping[str, str]) -> bool:
    """Return whether a fork can stand for a process that executes `command` with the environment `env`."""
    ours = _environment()
    harmless = {*HARMLESS, *_disk(env)}
    special = [name for name in {*env, *ours} if name.startswith(SPECIAL) and name not in harmless]
    is_ours = tuple(command[:2]) in ((sys.executable, "-c"), (sys.executable, "-m"))
    return sys.platform == "linux" and is_ours and all(env.get(name) == ours.get(name) for name in special)


class Template(NamedTuple):
    """A process that forks."""

    modules: tuple[str, ...]
    """What it has imported."""
    environment: tuple[tuple[str, str], ...] = ()
    """The variables that it has beside those of this process, since something reads them as it is imported."""


class Fork:
    """A fork that executes a Python program, with those methods of `subprocess.Popen` that the tests use."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        has_stdin: bool = False,
        has_stderr: bool = False,
        log: IO[bytes] | None = None,
        template: Template | None = None,
    ) -> None:
        """Execute `command`, for which `can_fork` holds. Errors are printed to `stdout`, unless `has_stderr`.

        With `log`, all is printed to that file.

        It is a fork of `template`, or else of a process that has imported what a server imports.
        """
        self.args = command
        self.returncode: int | None = None
        its_in, to_in = os.pipe() if has_stdin else (os.open(os.devnull, os.O_RDONLY), None)
        self.stdin = None if to_in is None else os.fdopen(to_in, "w", encoding="utf-8")
        out, to_out = os.pipe() if log is None else (os.open(os.devnull, os.O_RDONLY), os.dup(log.fileno()))
        err, to_err = os.pipe() if has_stderr else (None, to_out)
        self._reports, to_reports = os.pipe()
        # Not as soon as the code is known: another thread may be waiting for it.
        weakref.finalize(self, os.close, self._reports)
        self._reading = threading.Lock()
        self.stdout = _opened(out)
        self.stderr = None if err is None else _opened(err)
        request = json.dumps({"command": list(command), "cwd": str(cwd), "env": dict(env)}).encode()
        with _one_at_a_time:
            forking = _forking(template or Template(MODULES, tuple(_disk(env).items())))
            socket.send_fds(forking, [_encoded(len(request))], [its_in, to_out, to_err, to_reports])
            forking.sendall(request)
        for end in {its_in, to_out, to_err, to_reports}:
            os.close(end)
        self.pid = _decoded(os.read(self._reports, INTEGER_BYTES))

    def poll(self) -> int | None:
        return self._code(0.0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._code(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # It has just ended.
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Return what the fork prints from now on until its end, to its standard output and to its errors."""
        if self.stdin is not None:
            with suppress(BrokenPipeError):
                self.stdin.close()
        with ThreadPoolExecutor(2) as threads:
            out, err = threads.submit(self.stdout.read), threads.submit(self.stderr.read if self.stderr else str)
            self.wait(timeout)
        return out.result(), err.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        if self.stdin is not None:
            self.stdin.close()
        if self.stderr is not None:
            self.stderr.close()
        self.wait()

    def _code(self, timeout_s: float | None) -> int | None:
        """Return the exit code, or None if the fork has not ended within `timeout_s`."""
        if self.returncode is None and select.select([self._reports], [], [], timeout_s)[0]:
            with self._reading:
                if self.returncode is None:
                    self.returncode = os.waitstatus_to_exitcode(_decoded(os.read(self._reports, INTEGER_BYTES)))
        return self.returncode


def _opened(descriptor: int) -> IO[str]:
    return os.fdopen(descriptor, encoding="utf-8")


def _disk(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variable that loads the library of `tests.support.faults.disk`, if `env` has it."""
    return {"LD_PRELOAD": env["LD_PRELOAD"]} if "FAULTS_FILES" in env else {}


@cache
def _environment() -> dict[str, str]:
    """Return the environment of the process that forks."""
    return {**os.environ, "PYTHONPATH": str(CHECKOUT)}


@cache
def _forking(template: Template) -> socket.socket:
    """Start the process that forks, and return the socket that takes requests."""
    ours, its = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(its.fileno()), *template.modules],
        cwd=CHECKOUT,
        env={**_environment(), **dict(template.environment)},
        stdin=subprocess.DEVNULL,
        pass_fds=[its.fileno()],
    )
    its.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _encoded(number: int) -> bytes:
    return number.to_bytes(INTEGER_BYTES, "big")


def _decoded(data: bytes) -> int:
    return int.from_bytes(data, "big")


class Forking:
    """The process that forks."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._reports: dict[int, int] = {}
        """The descriptor that gets the status of each fork which has not ended."""

    def serve(self) -> dict[str, Any] | None:
        """Fork for each request. Return in each fork what was requested, and None here when there are no more."""
        ended, to_ended = os.pipe()
        for end in (ended, to_ended):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(to_ended, warn_on_full_buffer=False)
        while True:
            ready, _, _ = select.select([self._requests.fileno(), ended], [], [])
            if ended in ready:
                os.read(ended, 4096)
                self._report_ended()
            if self._requests.fileno() in ready:
                size, descriptors, _, _ = socket.recv_fds(self._requests, INTEGER_BYTES, 4)
                if not size:
                    self._kill_all()
                    return None
                request = json.loads(self._requests.recv(_decoded(size), socket.MSG_WAITALL))
                if self._fork(*descriptors):
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for end in (ended, to_ended):
                        os.close(end)
                    return dict(request)

    def _fork(self, its_in: int, out: int, err: int, report: int) -> bool:
        """Return True in the fork, whose standard streams are `out` and `err`."""
        pid = os.fork()
        if pid:
            for end in (its_in, out, err):
                os.close(end)
            self._reports[pid] = report
            os.write(report, _encoded(pid))
            return False
        os.dup2(its_in, 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        for end in {its_in, out, err, report, *self._reports.values()}:
            os.close(end)
        self._requests.close()
        return True

    def _kill_all(self) -> None:
        """Kill the forks that a test has left behind."""
        for pid in self._reports:
            os.kill(pid, signal.SIGKILL)

    def _report_ended(self) -> None:
        with suppress(ChildProcessError):
            while self._reports:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                report = self._reports.pop(pid)
                with suppress(BrokenPipeError):  # The test has ended.
                    os.write(report, _encoded(status))
                os.close(report)


def _preload(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    inspect.getsource(_preload)  # Compiles the tokenizer, by which FastAPI reads an endpoint at its first call.
    gc.collect()
    gc.freeze()


def _execute(request: dict[str, Any]) -> None:
    """Execute the command that was requested, and end the process."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    if library := _disk(os.environ):
        ctypes.CDLL(library["LD_PRELOAD"]).prepare()  # It has read the variables of the process that forks.
    sys.path[0] = request["cwd"]
    traces._HERE = Path.cwd()  # It is stored when the module is imported.
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    leaving = Leaving()
    _, option, program, *arguments = request["command"]
    try:
        if option == "-m":
            sys.argv = [program, *arguments]
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            sys.argv = ["-c", *arguments]
            main = types.ModuleType("__main__")
            sys.modules["__main__"] = main
            exec(program, vars(main))
    except SystemExit as left:
        # Python prints anything else, and then has this code.
        leaving.code = left.code if isinstance(left.code, int) else int(left.code is not None)
        raise
    leaving.code = 0


class Leaving:
    """Ends this process after all handlers that run at its exit, and before Python frees all modules.

    To free them takes half a second of processor time, since a fork copies each page of memory that it changes.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        """The exit code. None: the program has not ended by itself, and Python ends the process as always."""
        atexit.register(self._leave)  # The handler that is registered first is called last.

    def _leave(self) -> None:
        if self.code is not None:
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):  # Nobody reads it any more, or the program has closed it.
                    stream.flush()
            os._exit(self.code & 0xFF)


if __name__ == "__main__":
    _preload(sys.argv[2:])
    requested = Forking(socket.socket(fileno=int(sys.argv[1]))).serve()
    if requested is not None:
        _execute(requested)
