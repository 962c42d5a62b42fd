"""The lines that a tool writes: kept for a moment, fit for any database, and counted.

`context.log` and the `logging` module (see guard.logs) end here alike. Whatever a tool passes, logging never fails
its step.
"""

from __future__ import annotations

import asyncio
import contextvars
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
"""Lines that one attempt may write; one more counts the rest."""

Submit = Callable[[Sequence[Line]], "Future[bool]"]


class Lines(Protocol):
    """Where the lines of one attempt go. Written by any thread."""

    def add(self, message: Any, level: Level = Level.INFO, data: dict[str, Any] | None = None) -> bool:
        """Take a line; never raises. False once the attempt is over: then it is nobody's."""


class LineBuffer:
    """The lines of one attempt that are not yet in the database. Written by any thread."""

    def __init__(self, move: CallTool) -> None:
        self._place = (move.node, move.step, move.attempt)
        self._lock = threading.Lock()
        self._lines: list[Line] = []
        self._count = 0
        self._closed = False
        self._submitted: list[Future[None]] = []
        """Done once it is known of the lines that were handed over whether they are written."""

    def add(self, message: Any, level: Level = Level.INFO, data: dict[str, Any] | None = None) -> bool:
        """Keep a line; never raises. False once the attempt is over: then it is nobody's."""
        message, text = fitted(message, data)
        return self.keep(message, level, text, time.monotonic())

    def keep(self, message: str, level: Level, data: str, at: float) -> bool:
        """Keep a line that is `fitted`, unless the attempt is over."""
        line = self._line(message, level, data, at)
        with self._lock:
            if self._closed:
                return False
            self._count += 1
            if self._count <= LINES_MAX:
                self._lines.append(line)
            return True

    def leave_out(self, count: int) -> None:
        """Count lines that nobody keeps."""
        with self._lock:
            self._count += count

    def flush(self, submit: Submit) -> None:
        """Hand the lines to `submit`, and take them back if the database cannot take them now."""
        with self._lock:
            if self._closed or not self._lines:
                return
            lines, self._lines = self._lines, []
            # Submitted under the lock, so that the commit of the step, which closes first, comes after.
            written = submit(lines)
            known: Future[None] = Future()
            self._submitted = [*(other for other in self._submitted if not other.done()), known]
        written.add_done_callback(lambda future: self._restore(future, lines, known))

    def close(self) -> None:
        """No more lines: the attempt is over."""
        with self._lock:
            if not self._closed and self._count > LINES_MAX:
                message = f"{self._count - LINES_MAX} more lines of this step were left out"
                self._lines.append(self._line(message, Level.WARNING, "{}", time.monotonic()))
            self._closed = True

    async def settle(self) -> None:
        """Wait until it is known of all lines that were handed over whether they are written."""
        for known in self._submitted:
            if not known.done():
                await asyncio.wait([asyncio.wrap_future(known)])

    def rest(self) -> tuple[Line, ...]:
        """The lines that still have to be written."""
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
"""The lines of the attempt that this code runs in, if it runs in one."""
"""Set in the context of an attempt; see guard.logs for whose threads have it as well."""


def fitted(message: Any, data: dict[str, Any] | None) -> tuple[str, str]:
    """A line's message and its data as JSON text, as any database takes them; never raises."""
    try:
        text = _data_text(data or {})
    except Exception as error:
        # Data that another thread changes meanwhile, a dict with methods of its own.
        text = codec.encode({"data": f"{type(error).__name__} while it was read"})
    return _cut(as_text(message), MESSAGE_BYTES_MAX), text


def as_text(value: Any) -> str:
    """`value` as text that any database takes; its repr where it is no string."""
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
    """Copies data, with whatever in it is no JSON as its repr, and no further than any line can hold."""

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
