"""Keep the log lines of a tool until they are stored, and make them fit for any database.

The lines come from `context.log` and from the `logging` module (see guard.log_capture). Logging never fails a step.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from service.core import codec
from service.core.errors import Unavailable
from service.core.moves import CallTool
from service.core.run import Event, Level, Line

MESSAGE_BYTES_MAX = 16 * 1024
DATA_BYTES_MAX = 64 * 1024
DATA_DEPTH_MAX = 32
LINES_MAX = 10_000
"""The most lines that one attempt may write. One more line says how many further lines were left out."""

events = logging.getLogger("service.engine.events")
"""Logs the events of runs in the server's log, at INFO. The runs' own logs have these events in any case."""

Submit = Callable[[Sequence[Line]], "Future[bool]"]


class Lines(Protocol):
    """Takes the lines of one attempt, from any thread."""

    def add(self, message: Any, level: Level = Level.INFO, data: dict[str, Any] | None = None) -> bool:
        """Take a line and return True, or return False if the attempt is over. It never raises."""


class LineBuffer:
    """The lines of one attempt that are not stored yet. Any thread may add lines."""

    def __init__(self, move: CallTool, run_id: str = "") -> None:
        self._run_id = run_id
        self._place = (move.node, move.step, move.attempt)
        self._lock = threading.Lock()
        self._lines: list[Line] = []
        self._count = 0
        self._closed = False
        self._submitted: list[Future[None]] = []
        """One future for each submitted batch. It is done when the batch is stored, put back here or dropped."""

    @property
    def place(self) -> dict[str, Any]:
        """The fields that name the attempt in a record of the process's log."""
        node, step, attempt = self._place
        return {"run": self._run_id, "node": node, "step": step, "attempt": attempt}

    def add(self, message: Any, level: Level = Level.INFO, data: dict[str, Any] | None = None) -> bool:
        """Keep a line and return True, or return False if the attempt is over. It never raises."""
        message, text = fitted(message, data)
        return self.keep(message, level, text, time.monotonic())

    def keep(self, message: str, level: Level, data: str, at: float) -> bool:
        """Keep a line whose message and data come from `fitted`. Return False if the attempt is over."""
        line = self._line(message, level, data, at)
        with self._lock:
            if self._closed:
                return False
            self._count += 1
            if self._count <= LINES_MAX:
                self._lines.append(line)
            return True

    def note(self, message: str, level: Level, data: dict[str, Any]) -> None:
        """Keep a line that the engine writes. It does not count towards LINES_MAX."""
        text, data_text = fitted(message, data)
        with self._lock:
            if not self._closed:
                self._lines.append(self._line(text, level, data_text, time.monotonic()))

    def leave_out(self, count: int) -> None:
        """Count lines that the tool's process has left out because it had sent LINES_MAX lines."""
        with self._lock:
            self._count += count

    def flush(self, submit: Submit) -> None:
        """Pass the lines to `submit`, and take them back if the database cannot store them now."""
        with self._lock:
            if self._closed or not self._lines:
                return
            lines, self._lines = self._lines, []
            # Submit under the lock: `close` takes the lock before the step is committed, so the lines precede the step.
            written = submit(lines)
            known: Future[None] = Future()
            self._submitted = [*(other for other in self._submitted if not other.done()), known]
        written.add_done_callback(lambda future: self._restore(future, lines, known))

    def close(self) -> bool:
        """Refuse further lines, because the attempt is over. Return whether `settle` may have to wait."""
        with self._lock:
            if not self._closed and self._count > LINES_MAX:
                message = f"{self._count - LINES_MAX} more lines of this step were left out"
                self._lines.append(self._line(message, Level.WARNING, "{}", time.monotonic()))
            self._closed = True
            return bool(self._submitted)

    async def settle(self) -> None:
        """Wait until each submitted batch is stored, or put back into this buffer because the database is unavailable.

        A batch is dropped if the lease no longer holds, or after any other error.
        """
        for known in self._submitted:
            if not known.done():
                await asyncio.wait([asyncio.wrap_future(known)])

    def rest(self) -> tuple[Line, ...]:
        """Return the lines that are not stored yet."""
        with self._lock:
            return tuple(self._lines)

    def _restore(self, written: Future[bool], lines: list[Line], known: Future[None]) -> None:
        if not written.cancelled() and isinstance(written.exception(), Unavailable):
            with self._lock:
                self._lines[:0] = lines
        known.set_result(None)

    def _line(self, message: str, level: Level, data: str, at: float) -> Line:
        node, step, attempt = self._place
        return Line(Event.LOG, message, level, node, step, attempt, data, at)


current: contextvars.ContextVar[Lines | None] = contextvars.ContextVar("current", default=None)
"""The lines of the attempt to which the current code belongs, or None. guard.log_capture sets this in threads."""


def log_events(run_id: str, lines: Sequence[Line]) -> None:
    """Log each event of a run in the process's log as well."""
    for line in lines:
        place = {"node": line.node, "step": line.step, "attempt": line.attempt}
        fields = {"event": line.event.value, "run": run_id, **place}
        events.info("run %s: %s: %s", run_id, line.event.value, line.message, extra=fields)


def fitted(message: Any, data: dict[str, Any] | None) -> tuple[str, str]:
    """Return a line's message and its data as JSON text, both fit for any database. It never raises."""
    try:
        text = _data_text(data or {})
    except Exception as error:
        # For example data that another thread changes, or a dict with methods of its own.
        text = codec.encode({"data": f"{type(error).__name__} while it was read"})
    return _cut(as_text(message), MESSAGE_BYTES_MAX), text


def as_text(value: Any) -> str:
    """Return `value`, or its repr if it is not a string, as text that any database accepts."""
    if not isinstance(value, str):
        try:
            value = repr(value)
        except BaseException as error:  # A tool's object may raise anything.
            value = f"<{type(value).__name__}: {type(error).__name__} in its repr>"
    return codec.printable(str.__str__(value))


def _cut(text: str, bytes_max: int) -> str:
    if codec.byte_length(text) <= bytes_max:
        return text
    return text.encode()[:bytes_max].decode(errors="ignore")


def _data_text(data: dict[str, Any]) -> str:
    text = codec.encode(_Fitting().fit(data))
    if codec.byte_length(text) > DATA_BYTES_MAX:
        return codec.encode({"cut": _cut(text, MESSAGE_BYTES_MAX)})
    return text


class _Fitting:
    """Copies a line's data. Values that are not JSON become their repr; values beyond the bounds become "…"."""

    def __init__(self) -> None:
        self._room = DATA_BYTES_MAX

    def fit(self, value: Any, depth: int = 1) -> Any:
        self._room -= 1
        if self._room < 0:
            return "…"
        if isinstance(value, str):
            return as_text(value)
        if isinstance(value, dict | list | tuple):
            if depth > DATA_DEPTH_MAX:
                return "…"
            if isinstance(value, dict):
                return {as_text(key): self.fit(item, depth + 1) for key, item in value.items()}
            return [self.fit(item, depth + 1) for item in value]
        try:
            codec.check(value)
        except codec.ValueUnfit:
            return as_text(value)
        return value
