"""One process that calls isolated tools, and the server's thread that starts it, talks to it and ends it.

The thread also enforces the timeouts of isolated calls. It always kills the whole process group, so that programs
started by the tool end too. If the server dies, the kernel kills the group (see guard.lifeline). On systems whose
kernel cannot do that, a thread of the process kills the group.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from service.core.errors import StartRefused
from service.core.moves import Failed, Outcome, ProcessDied
from service.core.run import Level
from service.engine.guard.lifeline import Lifeline
from service.engine.isolation.launcher import Launcher
from service.engine.isolation.messages import EXIT_DISCONNECTED, Connection, Message, decode_outcome

EXIT_S = 2.0
"""How long to wait for a process to exit after its connection has ended. A kill would hide its own exit status."""
START_S = 60.0
"""A process is killed if it takes longer than this to load its tools or to begin a call."""
SOON_S, FREE_S = 0.05, 5.0
"""How long to wait until a process is free after a call: SOON_S before the outcome is reported, and FREE_S after that.

The process is killed if it is still not free then.
"""
LOOK_S, IDLE_S = 1.0, 60.0
"""How often an idle process is checked, and how long it is kept."""


class NotStarted(NamedTuple):
    """The process ended or was killed before it called the tool. The tool is not at fault."""

    message: str


class SentLines(Protocol):
    """Takes the lines that a process sends."""

    def keep(self, message: str, level: Level, data: str, at: float) -> object: ...
    def leave_out(self, count: int) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class ProcessCall:
    """A call for a process to make. `outcome` is set once, or never if the call is given up first."""

    request: Message
    lines: SentLines
    timeout_s: float | None
    on_timeout: Failed
    outcome: Future[Outcome | NotStarted] = field(default_factory=Future)


class ProcessOwner(Protocol):
    """The pool that a process belongs to."""

    def take_back(self, process: ToolProcess) -> bool:
        """Take back a free process. Return True if it is to wait for another call, and False if it is to end."""

    def retire(self, process: ToolProcess) -> bool:
        """Remove an idle process, which will then end. Return False if it has been given a call in the meantime."""

    def forget(self, process: ToolProcess) -> None:
        """Remove a process that has ended."""


class ToolProcess:
    """A process that makes one call at a time, and the thread that controls it. Any thread may call the methods."""

    def __init__(self, launcher: Launcher, lifeline: Lifeline, message_bytes_max: int, owner: ProcessOwner) -> None:
        self.started: Future[str | None] = Future()
        """Set to None when the process can be called, or to the reason why it cannot; never if `end` comes first."""
        self.started.set_running_or_notify_cancel()
        self._launcher = launcher
        self._lifeline = lifeline
        self._message_bytes_max = message_bytes_max
        self._owner = owner
        self._calls: queue.SimpleQueue[ProcessCall | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._current: ProcessCall | None = None
        self._ended = False
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="rungraph-isolated", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def call(self, call: ProcessCall) -> None:
        call.outcome.set_running_or_notify_cancel()
        with self._lock:
            self._current = call
        self._calls.put(call)

    def give_up(self, call: ProcessCall) -> None:
        """Kill the process if it is still making `call`."""
        with self._lock:
            if self._current is call:
                self._end()

    def end(self) -> None:
        """Kill the process at once. The outcome of its current call is never set."""
        with self._lock:
            self._end()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _run(self) -> None:
        """Run the thread: start the process, serve calls, and reap the process."""
        try:
            with closing(self._connect()) as connection:
                self._load(connection)
                self.started.set_result(None)
                while (call := self._next(connection)) is not None and self._serve(connection, call):
                    pass
        except StartRefused as refused:
            self._reap()
            if not self._ended:
                self.started.set_result(str(refused))
        finally:
            self._reap()
            self._owner.forget(self)

    def _connect(self) -> Connection:
        """Start the process and return our end of the connection."""
        process, end = self._launcher.start(self._lifeline)
        with self._lock:
            self._process = process
            if self._ended:
                self._kill()
        return Connection(end, self._message_bytes_max)

    def _load(self, connection: Connection) -> None:
        """Have the process load its tools. Raise StartRefused if it cannot."""
        until = time.monotonic() + START_S
        try:
            connection.send(["load", self._launcher.tools()], until)
            message = connection.receive(until)
        except TimeoutError:
            raise StartRefused(f"it did not load its tools within {START_S:g} s") from None
        except (EOFError, OSError):
            raise StartRefused(self._describe_exit()) from None
        except _MALFORMED as error:
            raise StartRefused(f"it sent a malformed message: {error}") from error
        match message:
            case ["ready"]:
                return
            case ["refused", str(because)]:
                raise StartRefused(because)
        raise StartRefused("it sent an unknown message")

    def _next(self, connection: Connection) -> ProcessCall | None:
        """Wait for the next call and return it. Return None if the process is to end."""
        idle_until = time.monotonic() + IDLE_S
        while True:
            try:
                return self._calls.get(timeout=LOOK_S)
            except queue.Empty:
                is_spent = time.monotonic() > idle_until or not connection.is_quiet()
                if is_spent and self._owner.retire(self):
                    return None

    def _serve(self, connection: Connection, call: ProcessCall) -> bool:
        """Have the process make `call`. Return whether the process is kept for another call."""
        outcome, has_answered = self._exchange(connection, call)
        is_free = has_answered and self._is_free(connection, SOON_S)
        if not has_answered:
            self._reap()
        with self._lock:
            self._current = None
            if self._ended:
                return False
        # The process is given back before the outcome is set, so that the run's next call can use it.
        is_kept = is_free and self._owner.take_back(self)
        call.outcome.set_result(outcome)
        if has_answered and not is_free:
            is_kept = self._is_free(connection, FREE_S) and self._owner.take_back(self)
        return is_kept

    def _exchange(self, connection: Connection, call: ProcessCall) -> tuple[Outcome | NotStarted, bool]:
        """Send `call` and receive its lines until it ends. Return the outcome and whether the process reported it."""
        has_begun = False
        until: float | None = time.monotonic() + START_S
        try:
            connection.send(call.request, until)
            while True:
                match connection.receive(until):
                    case ["begun"]:
                        has_begun = True
                        until = None if call.timeout_s is None else time.monotonic() + call.timeout_s
                    case ["line", str(message), str(level), str(data), float(at)]:
                        call.lines.keep(message, Level(level), data, at)
                    case ["left_out", int(count)]:
                        call.lines.leave_out(count)
                    case message:
                        return decode_outcome(message), True
        except TimeoutError:
            if has_begun:
                return call.on_timeout, False
            because = f"it did not begin within {START_S:g} s"
        except (EOFError, OSError):
            because = self._describe_exit()
        except _MALFORMED as error:
            because = f"it sent a malformed message: {error}"
        return ProcessDied(f"the tool's process died: {because}") if has_begun else NotStarted(because), False

    def _is_free(self, connection: Connection, within_s: float) -> bool:
        try:
            return connection.receive(time.monotonic() + within_s) == ["free"]
        except (EOFError, OSError, *_MALFORMED):
            return False

    def _describe_exit(self) -> str:
        """Reap the process, whose connection has ended, and describe its exit status.

        Usually the process is exiting already. If it goes on running, it has only closed its connection, and is killed.
        """
        is_exiting = self._exits_by_itself()
        code = self._reap()
        if code == EXIT_DISCONNECTED or not is_exiting:
            return "its connection to the server was closed"
        if code is None or code >= 0:
            return f"it ended with exit code {code}"
        try:
            return f"it was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"it was killed by signal {-code}"

    def _exits_by_itself(self) -> bool:
        """Return whether the process exits within EXIT_S. Do not reap it, so that its group can still be killed."""
        until = time.monotonic() + EXIT_S
        while self._process is not None and self._process.returncode is None:
            with suppress(ChildProcessError):  # Another thread has just reaped it.
                if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
                    return True
            if time.monotonic() > until:
                return False
            time.sleep(0.005)
        return True

    def _reap(self) -> int | None:
        """Kill the process group, reap the process, and return its exit code, or None if no process was started."""
        with self._lock:
            self._kill()
        return None if self._process is None else self._process.wait()

    def _end(self) -> None:
        self._ended = True
        self._kill()
        self._calls.put(None)

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(OSError):  # The process has ended but is not reaped yet.
                os.killpg(self._process.pid, signal.SIGKILL)


_MALFORMED = (ValueError, TypeError, LookupError, RecursionError)
"""The exceptions that reading a malformed message can raise."""
