"""One process that calls tools, and the thread of the server's that starts it, talks to it and sees to its end.

Whoever kills a process kills its group: what its tool has started goes with it. At the end of the server that is the
kernel (see guard.lifeline), or a thread of the process where the kernel cannot.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from service.core.errors import StartRefused
from service.core.moves import Failed, Outcome, ProcessDied
from service.core.run import Level
from service.engine.guard.lifeline import Lifeline
from service.engine.isolation.messages import CUT_OFF, LIFELINE, PYTHONPATH_GIVEN, Connection, Message, answered
from service.engine.lines import LineBuffer

START_S = 60.0
"""A process that takes longer to load its tools, or to begin a call, is ended."""
SOON_S, FREE_S = 0.05, 5.0
"""After a call a process is free soon; if what the tool has left behind takes longer than this, it is ended."""
LOOK_S, IDLE_S = 1.0, 60.0
"""How often an idle process is looked after, and how long it is kept."""


class Unbegun(NamedTuple):
    """The process ended before it called the tool: that is no fault of the tool's."""

    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """A call to be made; `came` is set once, unless the order is given up first."""

    request: Message
    lines: LineBuffer
    timeout_s: float | None
    on_timeout: Failed
    came: Future[Outcome | Unbegun] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class Origin:
    """How a process is started, so that it finds what this one finds."""

    command: tuple[str, ...]
    folder: Path
    path: tuple[str, ...]
    tools: Callable[[], Any]
    """What it is told to load: JSON, asked for at each start."""

    @classmethod
    def here(cls, command: Sequence[str], tools: Callable[[], Any]) -> Origin:
        folder = Path.cwd()
        return cls(tuple(command), folder, tuple(entry or str(folder) for entry in sys.path), tools)

    def start(self, lifeline: Lifeline) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Start one; the process, and our end of its standard input. StartRefused where that cannot be."""
        if not self.command:
            raise StartRefused("this server was told no command that starts one")
        environment = {**os.environ, PYTHONPATH_GIVEN: os.environ.get("PYTHONPATH", "")}
        environment["PYTHONPATH"] = os.pathsep.join(self.path)
        environment[LIFELINE] = str(lifeline.reading)
        try:
            ours, theirs = socket.socketpair()
            with theirs, ExitStack() as undone:
                undone.enter_context(ours)
                process = subprocess.Popen(
                    self.command,
                    stdin=theirs.fileno(),
                    cwd=self.folder,
                    env=environment,
                    pass_fds=(lifeline.reading,),
                    start_new_session=True,  # Ctrl-C on the server's terminal is for the server to judge.
                )
                undone.pop_all()
            return process, ours
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise StartRefused(str(error)) from error


class Home(Protocol):
    """Where a process belongs to, as its thread sees it."""

    def keep(self, process: Process) -> bool:
        """Whether a process that is free shall wait for another call."""

    def leave(self, process: Process) -> bool:
        """Whether a process that has waited for long is still not to be called, and may go."""

    def gone(self, process: Process) -> None:
        """Told when a process has ended."""


class Process:
    """Serves one `call` at a time, until `end`; all of it may be used from any thread."""

    def __init__(self, origin: Origin, lifeline: Lifeline, message_bytes_max: int, home: Home) -> None:
        self.started: Future[str | None] = Future()
        """Set when it can be called, or to why it cannot."""
        self.started.set_running_or_notify_cancel()
        self._origin = origin
        self._lifeline = lifeline
        self._message_bytes_max = message_bytes_max
        self._home = home
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._order: Order | None = None
        self._ended = False
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._live, name="rungraph-isolated", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def call(self, order: Order) -> None:
        order.came.set_running_or_notify_cancel()
        with self._lock:
            self._order = order
        self._orders.put(order)

    def give_up(self, order: Order) -> None:
        """End it if it still serves `order`."""
        with self._lock:
            if self._order is order:
                self._end()

    def end(self) -> None:
        """Kill it at once. What it was to answer stays unanswered."""
        with self._lock:
            self._end()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _live(self) -> None:
        """All that its thread does."""
        try:
            with closing(self._connect()) as connection:
                self._load(connection)
                self.started.set_result(None)
                while (order := self._next(connection)) is not None and self._serve(connection, order):
                    pass
        except StartRefused as refused:
            self._reap()
            if not self._ended:
                self.started.set_result(str(refused))
        finally:
            self._reap()
            self._home.gone(self)

    def _connect(self) -> Connection:
        """Start the process, and have our end of the connection."""
        process, end = self._origin.start(self._lifeline)
        with self._lock:
            self._process = process
            if self._ended:
                self._kill()
        return Connection(end, self._message_bytes_max)

    def _load(self, connection: Connection) -> None:
        """Return when it has loaded its tools."""
        until = time.monotonic() + START_S
        try:
            connection.send(["load", self._origin.tools()], until)
            message = connection.receive(until)
        except TimeoutError:
            raise StartRefused(f"it has not loaded its tools within {START_S:g} s") from None
        except (EOFError, OSError):
            raise StartRefused(self._death()) from None
        except _GARBLED as error:
            raise StartRefused(f"it said what makes no sense: {error}") from error
        match message:
            case ["ready"]:
                return
            case ["refused", str(because)]:
                raise StartRefused(because)
        raise StartRefused("it said what makes no sense")

    def _next(self, connection: Connection) -> Order | None:
        """The next call; None where there is to be none."""
        idle_until = time.monotonic() + IDLE_S
        while True:
            try:
                return self._orders.get(timeout=LOOK_S)
            except queue.Empty:
                is_spent = time.monotonic() > idle_until or not connection.is_quiet()
                if is_spent and self._home.leave(self):
                    return None

    def _serve(self, connection: Connection, order: Order) -> bool:
        """Have the call made; whether the process can make another one."""
        came, has_answered = self._converse(connection, order)
        is_free = has_answered and self._is_free(connection, SOON_S)
        if not has_answered:
            self._reap()
        with self._lock:
            self._order = None
            if self._ended:
                return False
        # First, so that the run's next call, should it need one, finds this process.
        is_kept = is_free and self._home.keep(self)
        order.came.set_result(came)
        if has_answered and not is_free:
            is_kept = self._is_free(connection, FREE_S) and self._home.keep(self)
        return is_kept

    def _converse(self, connection: Connection, order: Order) -> tuple[Outcome | Unbegun, bool]:
        """What comes of the call, and whether the process has said so itself."""
        has_begun = False
        until: float | None = time.monotonic() + START_S
        try:
            connection.send(order.request, until)
            while True:
                match connection.receive(until):
                    case ["begun"]:
                        has_begun = True
                        until = None if order.timeout_s is None else time.monotonic() + order.timeout_s
                    case ["line", str(message), str(level), str(data), float(at)]:
                        order.lines.keep(message, Level(level), data, at)
                    case ["left_out", int(count)]:
                        order.lines.leave_out(count)
                    case message:
                        return answered(message), True
        except TimeoutError:
            if has_begun:
                return order.on_timeout, False
            because = f"it did not begin within {START_S:g} s"
        except (EOFError, OSError):
            because = self._death()
        except _GARBLED as error:
            because = f"it said what makes no sense: {error}"
        return ProcessDied(f"the tool's process died: {because}") if has_begun else Unbegun(because), False

    def _is_free(self, connection: Connection, within_s: float) -> bool:
        try:
            return connection.receive(time.monotonic() + within_s) == ["free"]
        except (EOFError, OSError, *_GARBLED):
            return False

    def _death(self) -> str:
        """How it ended, which it just does. It dies of nothing else than it already dies of."""
        code = self._reap()
        if code == CUT_OFF:
            return "its connection to the server was closed"
        if code is None or code >= 0:
            return f"it ended with exit code {code}"
        try:
            return f"it was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"it was ended by signal {-code}"

    def _reap(self) -> int | None:
        """Kill what there still is of it, and have its exit code; None where it was never started."""
        with self._lock:
            self._kill()
        return None if self._process is None else self._process.wait()

    def _end(self) -> None:
        self._ended = True
        self._kill()
        self._orders.put(None)

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(OSError):  # It is over, and only not yet reaped.
                os.killpg(self._process.pid, signal.SIGKILL)


_GARBLED = (ValueError, TypeError, LookupError, RecursionError)
"""What a message can raise that none of ours is."""
