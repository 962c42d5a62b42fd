"""The function that a worker of the cluster executes: it makes one call in a separate process, and sends its log lines.

The process is killed when the call's timeout has passed, or when nobody wants the result any more: the server has given
the call up or has died, or the worker has lost its scheduler. The worker is then free for another call.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from distributed import Status, Worker, get_worker
from distributed.worker import thread_state  # type: ignore[attr-defined]

from service.core import codec
from service.core.moves import Failed, Outcome, ProcessDied
from service.core.run import Level
from service.engine.cluster.folder import is_shared
from service.engine.cluster.messages import Ended, GivenUp, NeedsTools, Request, Unfit, encode_answer
from service.engine.cluster.processes import Processes
from service.engine.cluster.versions import describe_misfit, versions_here
from service.engine.isolation.messages import Message, without_folder
from service.engine.isolation.pool import TRIES
from service.engine.isolation.worker import NotStarted, ProcessCall

T = TypeVar("T")

WATCH_S = 0.1
"""How often a call's lines are sent, and how soon its process is killed when nobody wants the result."""
LINES_MAX, CHARACTERS_MAX = 500, 2**16
"""A batch is sent when it has this many lines, or this many characters."""

_tools = Processes(kept_max=8)


def make_call(text: str, tools: str | None) -> str:
    """Make the call in the request `text`, and return the answer as text.

    `tools` are the tools to load, as JSON; None if the server assumes that this worker has them.
    """
    request = Request.decode(text)
    worker: Worker = get_worker()
    if misfit := describe_misfit(request.versions, versions_here()):
        return encode_answer(Unfit(worker.address, misfit))
    if tools is not None:
        _tools.learn(request.tools, tools)
    if not _tools.knows(request.tools):
        return encode_answer(NeedsTools())
    key = thread_state.key

    def is_wanted() -> bool:
        task = worker.state.tasks.get(key)
        is_running = task is not None and task.state in ("executing", "long-running")
        return is_running and worker.status in (Status.running, Status.paused, Status.closing_gracefully)

    return _Execution(request, worker, is_wanted).make()


class _GivenUp(Exception):  # It reports no error.
    """Raised when nobody wants the result of the call any more."""


class _Execution:
    def __init__(self, request: Request, worker: Worker, is_wanted: Callable[[], bool]) -> None:
        self._request = request
        self._worker = worker
        self._is_wanted = is_wanted
        self._id = secrets.token_hex(8)
        self._lines = _Lines(self._send)

    def make(self) -> str:
        self._send({"kind": "assigned", "address": self._worker.address})  # Loading the tools may take long.
        try:
            outcome = self._outcome()
        except _GivenUp:
            return encode_answer(GivenUp())
        batches, lines, left_out = self._lines.rest()
        return encode_answer(Ended(self._id, batches, lines, left_out, outcome))

    def _outcome(self) -> Outcome:
        """Make the call. If a process ends before the call begins, use another one, up to TRIES processes in all."""
        request = self._request
        message = self._message()
        has_begun = False
        because = ""
        for _ in range(TRIES):
            process = _tools.take(request.tools, request.arguments, state_bytes_max=message[-2])
            call: ProcessCall | None = None
            try:
                if (refusal := self._wait(process.started)) is not None:
                    where = f"the worker {self._worker.name} ({self._worker.address})"
                    return Failed("tool_error", f"the tools cannot be loaded on {where}: {refusal}")
                if not has_begun:
                    has_begun = True
                    self._send({"kind": "begun", "name": str(self._worker.name), "address": self._worker.address})
                late = Failed("timeout", f"the tool took longer than {request.timeout_s} s")
                call = ProcessCall(message, self._lines, request.timeout_s, late)
                process.call(call)
                outcome = self._wait(call.outcome)
            except BaseException:
                process.end() if call is None else process.give_up(call)
                raise
            if not isinstance(outcome, NotStarted):
                return outcome
            because = outcome.message
        return ProcessDied(f"the tool's process died before the call began: {because}")

    def _message(self) -> Message:
        """Return the `call` message for the process, without the folder of runs if this machine does not share it."""
        message = self._request.message
        folder = Path(message[-3])
        if is_shared(folder, self._request.mark):
            return message
        where = f"the worker {self._worker.name} ({self._worker.address})"
        return without_folder(message, f"context.folder: {folder} of the server is not shared with {where}")

    def _wait(self, future: Future[T]) -> T:
        while True:
            try:
                return future.result(WATCH_S)
            except TimeoutError:
                if not self._is_wanted():
                    raise _GivenUp from None
                self._lines.flush()

    def _send(self, event: dict[str, Any]) -> None:
        place = {"call": self._request.call_id, "execution": self._id}
        self._worker.log_event(self._request.topic, {**place, **event})


class _Lines:
    """Sends log lines in numbered batches; see SentLines. The process of the tool limits the number of lines."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._lines: list[tuple[str, str, str, float]] = []
        self._characters = 0
        self._batches = 0
        self._left_out = 0

    def keep(self, message: str, level: Level, data: str, at: float) -> None:
        with self._lock:
            self._lines.append((message, str(level), data, at))
            self._characters += len(message) + len(data)
            if len(self._lines) >= LINES_MAX or self._characters >= CHARACTERS_MAX:
                self._flush()

    def leave_out(self, count: int) -> None:
        self._left_out += count

    def flush(self) -> None:
        """Send the lines that were not sent yet."""
        with self._lock:
            if self._lines:
                self._flush()

    def rest(self) -> tuple[int, list[Any], int]:
        """Return the number of batches sent, the lines that were not sent, and the number of lines left out."""
        with self._lock:
            return self._batches, self._taken(), self._left_out

    def _flush(self) -> None:
        self._batches += 1
        self._send({"kind": "lines", "number": self._batches, "lines": codec.encode(self._taken())})

    def _taken(self) -> list[Any]:
        """Remove and return the lines, with ages in place of times: the server has a monotonic clock of its own."""
        now = time.monotonic()
        taken = [[message, level, data, max(0.0, now - at)] for message, level, data, at in self._lines]
        self._lines, self._characters = [], 0
        return taken
