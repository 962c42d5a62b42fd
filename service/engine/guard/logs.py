"""Makes lines of a run out of what its tool writes with `logging`, at INFO and above, on any thread.

Two questions are answered here, and neither of them by the root logger, which is everybody's: a tool that sets its
level, takes its handlers away or disables `logging` would silence all other runs.

Whose line is it? `current` says so; it is set in the context in which a tool is called. A thread that is started
there is the tool's as well, and so is what is handed to a pool of threads there, whoever started the pool.

Is it a line? Yes, from INFO on, unless its logger or one of that logger's parents below the root has a higher level,
or a filter of its logger refuses it: these say what their author wants of this very logger.

To hear of all that, `install` wraps four methods of the standard library, once for the process. Outside of an attempt
they do what they always do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from logging import INFO, Logger, LogRecord
from threading import Thread
from typing import Any, TypeVar

from service.core.run import Level
from service.engine.lines import Lines, as_text, current

T = TypeVar("T")

_root = logging.getLogger()
_is_enabled_for = Logger.isEnabledFor
_handle = Logger.handle
_start = Thread.start
_submit = ThreadPoolExecutor.submit
_PICKLING: Any = getattr(futures, "InterpreterPoolExecutor", ())
"""Pools of threads that share no objects (Python 3.14): what they are handed is pickled, and must stay as it is."""


def install() -> None:
    """Listen to all loggers and threads of this process; again is as good as once."""
    Logger.isEnabledFor = is_enabled_for  # type: ignore[method-assign]
    Logger.handle = handle  # type: ignore[method-assign]
    Thread.start = start  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = submit  # type: ignore[assignment, method-assign]


def is_enabled_for(self: Logger, level: int) -> bool:
    """Whether anybody wants a record of this level: the process, or the run that this code belongs to."""
    return _is_enabled_for(self, level) or (current.get() is not None and level >= _level_of_a_line(self))


def handle(self: Logger, record: LogRecord) -> None:
    """Make a line of the record; hand it to the process's handlers as well, if its settings want it."""
    lines = current.get()
    if lines is None or record.levelno < INFO:
        _handle(self, record)
        return
    # Asked once, since a filter may count. From Python 3.12 on it may put another record in this one's place.
    kept: Any = self.filter(record)
    if not kept:
        return
    if isinstance(kept, LogRecord):
        record = kept
    is_line = take(record, lines)
    # What became a line needs no last resort: that is for messages that nobody listens to.
    if _is_enabled_for(self, record.levelno) and (not is_line or self.hasHandlers()):
        self.callHandlers(record)


def start(self: Thread) -> None:
    """Start the thread; what it logs belongs to the attempt that starts it."""
    lines = current.get()
    if lines is not None:
        self.run = _bound(self.run, lines)  # type: ignore[method-assign]
    _start(self)


def submit(self: ThreadPoolExecutor, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
    """Have `fn` called by a thread of the pool; what it logs belongs to whoever hands it in."""
    if not isinstance(self, _PICKLING):
        fn = _bound(fn, current.get())
    return _submit(self, fn, *args, **kwargs)


def take(record: LogRecord, lines: Lines) -> bool:
    """Make a line of `record`; whether its attempt still takes one. Never raises."""
    return lines.add(_message_of(record), _level_of(record), _data_of(record))


def _bound(function: Callable[..., T], lines: Lines | None) -> Callable[..., T]:
    def bound(*args: Any, **kwargs: Any) -> T:
        token = current.set(lines)
        try:
            return function(*args, **kwargs)
        finally:
            current.reset(token)

    return bound


def _level_of_a_line(logger: Logger) -> int:
    """From which level on records of `logger` become lines."""
    at: Logger | None = logger
    while at is not None and at is not _root:
        if at.level:
            return max(at.level, INFO)
        at = at.parent
    return INFO


def _message_of(record: LogRecord) -> str:
    try:
        return record.getMessage()
    except BaseException as error:  # An argument of a tool's may raise anything.
        return f"{as_text(record.msg)} ({type(error).__name__} in its arguments)"


def _level_of(record: LogRecord) -> Level:
    if record.levelno >= logging.ERROR:
        return Level.ERROR
    return Level.WARNING if record.levelno >= logging.WARNING else Level.INFO


def _data_of(record: LogRecord) -> dict[str, Any]:
    data: dict[str, Any] = {"logger": record.name}
    if record.exc_info and record.exc_info[0] is not None:
        try:
            data["traceback"] = logging.Formatter().formatException(record.exc_info)
        except BaseException as error:  # Nor need this be what logging asks for.
            data["traceback"] = f"{type(error).__name__} in its traceback"
    return data
