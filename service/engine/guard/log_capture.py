"""Turn what a tool writes with `logging`, at INFO and above and on any thread, into lines of its run.

This does not depend on the root logger, which all tools share: a tool that sets its level, removes its handlers or
disables `logging` would silence all other runs.

The context variable `current` tells to which run a record belongs. It is set in the context in which a tool is called.
Threads that are started in this context get its value, and so do calls that are submitted to thread pools in it.

A record at INFO or above becomes a line, with two exceptions: its level is lower than the level that is set for its
logger (or else for the nearest parent that has one, except the root), or a filter of its logger rejects it.

`install` wraps four methods of the standard library, once for the process. Outside of an attempt, each wrapper has the
same effect as the method that it wraps.
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
"""Pools of Python 3.14 whose threads share no objects. They pickle functions, so the functions must stay unwrapped."""


def install() -> None:
    """Wrap the methods of loggers, threads and thread pools. It is idempotent."""
    Logger.isEnabledFor = is_enabled_for  # type: ignore[method-assign]
    Logger.handle = handle  # type: ignore[method-assign]
    Thread.start = start  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = submit  # type: ignore[assignment, method-assign]


def is_enabled_for(self: Logger, level: int) -> bool:
    """Return whether the process or the current run wants a record of this level."""
    return _is_enabled_for(self, level) or (current.get() is not None and level >= _level_of_a_line(self))


def handle(self: Logger, record: LogRecord) -> None:
    """Make a line of the record if it belongs to an attempt. Pass it to the handlers if the process wants it."""
    lines = current.get()
    if lines is None or record.levelno < INFO:
        _handle(self, record)
        return
    # Filters are called only once, since they may have side effects. From Python 3.12 on, they may replace the record.
    kept: Any = self.filter(record)
    if not kept:
        return
    if isinstance(kept, LogRecord):
        record = kept
    is_line = take(record, lines)
    # A record that became a line is not passed to the last-resort handler, which is for unhandled records.
    if _is_enabled_for(self, record.levelno) and (not is_line or self.hasHandlers()):
        self.callHandlers(record)


def start(self: Thread) -> None:
    """Start the thread. What the thread logs belongs to the attempt that starts it."""
    lines = current.get()
    if lines is not None:
        self.run = _bound(self.run, lines)  # type: ignore[method-assign]
    _start(self)


def submit(self: ThreadPoolExecutor, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
    """Submit `fn` to the pool. What `fn` logs belongs to the attempt that submits it."""
    if not isinstance(self, _PICKLING):
        fn = _bound(fn, current.get())
    return _submit(self, fn, *args, **kwargs)


def take(record: LogRecord, lines: Lines) -> bool:
    """Add `record` to `lines`. Return False if the attempt of `lines` is over. It never raises."""
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
    """Return the lowest level at which records of `logger` become lines."""
    at: Logger | None = logger
    while at is not None and at is not _root:
        if at.level:
            return max(at.level, INFO)
        at = at.parent
    return INFO


def _message_of(record: LogRecord) -> str:
    try:
        return record.getMessage()
    except BaseException as error:  # An argument of the record may raise anything.
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
        except BaseException as error:  # A tool may pass anything as exc_info.
            data["traceback"] = f"{type(error).__name__} in its traceback"
    return data
