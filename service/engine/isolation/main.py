"""The main function of a process that calls tools for a server, one at a time.

The process reads calls from a socket, which is its standard input (see messages.py). When the server ends, the kernel
kills the process and its group, which includes the programs that tools have started (see guard.lifeline). On systems
whose kernel cannot do that, the thread that reads from the socket kills them when the server's end is closed.
"""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

from service import spans
from service.core.errors import StartRefused
from service.core.moves import Failed, Outcome
from service.core.run import Level
from service.core.tool import Tool, describe_missing
from service.engine import guard
from service.engine.call import Call
from service.engine.guard.lifeline import tie
from service.engine.isolation.messages import (
    EXIT_DISCONNECTED,
    LIFELINE,
    PYTHONPATH_GIVEN,
    Connection,
    Message,
    decode_call,
    encode_outcome,
)
from service.engine.lines import LINES_MAX, fitted
from service.engine.timeouts import call_on_loop


def serve(load: Callable[[Any], Mapping[str, Tool]]) -> NoReturn:
    """Load the tools, and then answer calls until the server is gone.

    `load` is given what the server sends to name the tools. It raises StartRefused if they cannot be loaded.
    """
    _end_with_server()
    server = _ServerLink(_take_connection())
    try:
        _restore_environment()
        calls: queue.SimpleQueue[Message] = queue.SimpleQueue()
        threading.Thread(target=server.listen, args=(calls,), name="rungraph-listener", daemon=True).start()
        guard.install()
        try:
            _, taken = calls.get()
            tools = load(taken)
        except StartRefused as refused:
            server.send("refused", str(refused))
            os._exit(2)
        server.send("ready")
        while True:
            _serve(calls.get(), tools, server)
    except BaseException:  # For example a signal between two calls, or a lack of memory.
        traceback.print_exc()
    finally:
        os._exit(1)  # Threads and exit handlers that a tool has left must not delay the end.


def _serve(message: Message, tools: Mapping[str, Tool], server: _ServerLink) -> None:
    run_id, state, move, runs_folder, state_bytes_max, trace = decode_call(message)
    lines = server.begin()
    tool = tools.get(move.tool)
    if tool is None:
        server.end(Failed("tool_missing", describe_missing(move.tool, tools)))
    else:
        call = Call(tool, run_id, state, move, lines, runs_folder, state_bytes_max)
        if trace is not None:
            call.enter(partial(spans.enter, trace))
        outcome = None if tool.is_async else call.plain()
        if outcome is None:
            _call_on_loop(call, server)
        else:
            server.end(outcome)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # A tool may have closed or replaced them.
            stream.flush()
    server.send("free")


def _call_on_loop(call: Call, server: _ServerLink) -> None:
    """Call the tool on an event loop, and report its outcome as soon as it has returned.

    Tasks that the tool has started and that still run are cancelled after that.
    """
    with suppress(BaseException), asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(call_on_loop(call, server))
        while not (task.done() or loop.is_closed()):
            # Tasks that the tool has started may raise the first two. RuntimeError means that it stopped the loop.
            with suppress(SystemExit, KeyboardInterrupt, RuntimeError):
                loop.run_until_complete(task)
        server.end(task.result())


class _CallLines:
    """Sends the log lines of one call to the server. Lines that are added after the call has ended are dropped."""

    def __init__(self, server: _ServerLink) -> None:
        self._server = server

    def add(self, message: Any, level: Level = Level.INFO, data: dict[str, Any] | None = None) -> bool:
        text, data_text = fitted(message, data)
        return self._server.send_line(self, text, level, data_text)


class _ServerLink:
    """The process's end of the connection to its server."""

    has_given_up = False
    """Always False, since the server kills the process to give up a call."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.RLock()
        self._lines: _CallLines | None = None
        """The lines of the current call; None between two calls."""
        self._is_sending = False
        self._count = 0

    def listen(self, calls: queue.SimpleQueue[Message]) -> None:
        """Put each message that the server sends into `calls`.

        When the server closes the connection, kill this process and its process group. If a tool has closed the
        socket, end this process with EXIT_DISCONNECTED.
        """
        try:
            while True:
                calls.put(self._connection.receive())
        except (EOFError, ConnectionError):
            if os.getpgrp() == os.getpid():
                os.killpg(0, signal.SIGKILL)
            os._exit(0)
        except OSError:
            os._exit(EXIT_DISCONNECTED)

    def send(self, *message: Any) -> None:
        """Send a message; end this process if the server is gone."""
        with self._lock:
            self._send(*message)

    def begin(self) -> _CallLines:
        """Report that a call begins, and return its lines."""
        with self._lock:
            self._lines = lines = _CallLines(self)
            self._count = 0
            self._send("begun")
            return lines

    def end(self, outcome: Outcome) -> None:
        """Report the outcome of the call. Do nothing if the call has already ended."""
        with self._lock:
            if self._lines is not None:
                self._lines = None
                if self._count > LINES_MAX:
                    self._send("left_out", self._count - LINES_MAX)
                self._send(*encode_outcome(outcome))

    def send_line(self, lines: _CallLines, text: str, level: Level, data: str) -> bool:
        """Send a line and return True, or return False if the call of `lines` has ended.

        Once LINES_MAX lines were sent, further ones are only counted. A line that comes while this thread is sending is
        dropped, and True is returned.
        """
        with self._lock:
            if self._lines is not lines:
                return False
            # A finalizer or a signal handler may log while this thread is sending a message. Its line is dropped, since
            # it would be written into the middle of that message.
            if not self._is_sending:
                self._count += 1
                if self._count <= LINES_MAX:
                    self._send("line", text, level, data, time.monotonic())
            return True

    def _send(self, *message: Any) -> None:
        self._is_sending = True
        try:
            self._connection.send(list(message))
        except OSError:
            os._exit(EXIT_DISCONNECTED)
        finally:
            self._is_sending = False


def _end_with_server() -> None:
    reading = int(os.environ.pop(LIFELINE, "-1"))
    if reading >= 0:
        tie(reading, group=os.getpgrp() == os.getpid())
        os.close(reading)


def _restore_environment() -> None:
    """Reset PYTHONPATH to the server's, since its current value must not reach programs that a tool starts."""
    given = os.environ.pop(PYTHONPATH_GIVEN, "")
    os.environ.pop("PYTHONPATH", None)
    if given:
        os.environ["PYTHONPATH"] = given


def _take_connection() -> Connection:
    """Take the socket from standard input, and replace standard input by /dev/null for tools and their programs.

    Raise StartRefused if standard input is not a socket.
    """
    try:
        end = socket.socket(fileno=os.dup(0))
    except OSError as error:
        raise StartRefused("this command is only for a server to start") from error
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    # Otherwise a process that a tool forks would keep the connection open, or write to it.
    os.register_at_fork(after_in_child=end.close)
    return Connection(end, sys.maxsize)
