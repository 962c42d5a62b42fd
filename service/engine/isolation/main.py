"""A process that calls tools for a server, one at a time: what may crash or spin without harm to anybody.

It reads calls from the socket that is its standard input (see messages.py). It ends with its server, and all that its
tools have started with it: by the kernel where that can be asked for (see guard.lifeline), and elsewhere by a thread
that waits for the socket's end.
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
from typing import Any, NoReturn

from service.core.errors import StartRefused
from service.core.moves import Failed, Outcome
from service.core.run import Level
from service.core.tool import Tool, describe_missing
from service.engine import guard
from service.engine.call import Call, on_loop
from service.engine.guard.lifeline import tie
from service.engine.isolation.messages import CUT_OFF, LIFELINE, PYTHONPATH_GIVEN, Connection, Message, answer, asked
from service.engine.lines import LINES_MAX, fitted


def serve(load: Callable[[Any], Mapping[str, Tool]]) -> NoReturn:
    """Answer calls of the tools that `load` makes of what the server sends first, until the server is gone."""
    _end_with_server()
    speaker = _Speaker(_take_connection())
    try:
        _restore_environment()
        calls: queue.SimpleQueue[Message] = queue.SimpleQueue()
        threading.Thread(target=speaker.listen, args=(calls,), name="rungraph-listener", daemon=True).start()
        guard.install()
        try:
            _, taken = calls.get()
            tools = load(taken)
        except StartRefused as refused:
            speaker.say("refused", str(refused))
            os._exit(2)
        speaker.say("ready")
        while True:
            _serve(calls.get(), tools, speaker)
    except BaseException:  # A signal between two calls, no memory: nothing that a tool has left holds up the end.
        traceback.print_exc()
    finally:
        os._exit(1)


def _serve(message: Message, tools: Mapping[str, Tool], speaker: _Speaker) -> None:
    run_id, state, move, runs_folder, state_bytes_max = asked(message)
    lines = speaker.begin()
    tool = tools.get(move.tool)
    if tool is None:
        speaker.end(Failed("tool_missing", describe_missing(move.tool, tools)))
    else:
        call = Call(tool, run_id, state, move, lines, runs_folder, state_bytes_max)
        outcome = None if tool.is_async else call.plain()
        if outcome is None:
            _call_on_loop(call, speaker)
        else:
            speaker.end(outcome)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # A tool may have closed them, or put something else in their place.
            stream.flush()
    speaker.say("free")


def _call_on_loop(call: Call, speaker: _Speaker) -> None:
    """Answer as soon as the tool has returned: what it has left on the loop ends after that."""
    with suppress(BaseException), asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(on_loop(call, None, speaker))
        while not (task.done() or loop.is_closed()):
            # Any of these comes from a task that the tool left behind, or from its loop.stop().
            with suppress(SystemExit, KeyboardInterrupt, RuntimeError):
                loop.run_until_complete(task)
        speaker.end(task.result())


class _CallLines:
    """The lines of one call. What still runs when the next one goes on adds nothing to that."""

    def __init__(self, speaker: _Speaker) -> None:
        self._speaker = speaker

    def add(self, message: Any, level: Level = Level.INFO, data: dict[str, Any] | None = None) -> bool:
        text, data_text = fitted(message, data)
        return self._speaker.say_line(self, text, level, data_text)


class _Speaker:
    """What the process says to its server."""

    has_given_up = False
    """A call that is given up ends with its process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.RLock()
        self._lines: _CallLines | None = None
        """Takes the lines of the current call; None between two calls."""
        self._is_speaking = False
        self._count = 0

    def listen(self, calls: queue.SimpleQueue[Message]) -> None:
        """Take calls, and end this process and all of its group when the server has closed the connection."""
        try:
            while True:
                calls.put(self._connection.receive())
        except (EOFError, ConnectionError):
            if os.getpgrp() == os.getpid():
                os.killpg(0, signal.SIGKILL)
            os._exit(0)
        except OSError:
            os._exit(CUT_OFF)

    def say(self, *message: Any) -> None:
        """Tell the server; where that cannot be, nobody needs this process any more."""
        with self._lock:
            self._say(*message)

    def begin(self) -> _CallLines:
        with self._lock:
            self._lines = lines = _CallLines(self)
            self._count = 0
            self._say("begun")
            return lines

    def end(self, outcome: Outcome) -> None:
        """Tell how the call came out, once."""
        with self._lock:
            if self._lines is not None:
                self._lines = None
                if self._count > LINES_MAX:
                    self._say("left_out", self._count - LINES_MAX)
                self._say(*answer(outcome))

    def say_line(self, lines: _CallLines, text: str, level: Level, data: str) -> bool:
        """A line of a call, if that goes on; beyond those that the server keeps they are only counted."""
        with self._lock:
            if self._lines is not lines:
                return False
            # Where a finalizer or a signal's handler logs, this thread may be in the middle of a message.
            if not self._is_speaking:
                self._count += 1
                if self._count <= LINES_MAX:
                    self._say("line", text, level, data, time.monotonic())
            return True

    def _say(self, *message: Any) -> None:
        self._is_speaking = True
        try:
            self._connection.send(list(message))
        except OSError:
            os._exit(CUT_OFF)
        finally:
            self._is_speaking = False


def _end_with_server() -> None:
    reading = int(os.environ.pop(LIFELINE, "-1"))
    if reading >= 0:
        tie(reading, group=os.getpgrp() == os.getpid())
        os.close(reading)


def _restore_environment() -> None:
    """PYTHONPATH was for this process alone, and not for those that a tool starts."""
    given = os.environ.pop(PYTHONPATH_GIVEN, "")
    os.environ.pop("PYTHONPATH", None)
    if given:
        os.environ["PYTHONPATH"] = given


def _take_connection() -> Connection:
    """The socket that came as standard input; a tool reads nothing from there, and what it starts inherits none."""
    try:
        end = socket.socket(fileno=os.dup(0))
    except OSError as error:
        raise StartRefused("this is for a server to start, which then talks to it") from error
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    # Otherwise what a tool forks would keep the connection open, or speak into it.
    os.register_at_fork(after_in_child=end.close)
    return Connection(end, sys.maxsize)
