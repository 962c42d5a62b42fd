"""Children that a tool forks in the server's process: none is a second copy of the server, and none outlives it.

A child has one thread, which is its tool's. It keeps the tool's files and none of the server's, so that it accepts no
connection and writes to no database. It takes signals as any process does, and ends where it comes back from its
tool: the attempt is its parent's, and so is all that a loop has yet to do.

Programs that a tool starts (`subprocess`, and multiprocessing's `spawn`) are not meant here: they inherit nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from service.engine.guard import descriptors
from service.engine.guard.lifeline import Lifeline, tie
from service.engine.lines import current

_getpid = os.getpid


class _Here(threading.local):
    """What a child has to know of the thread that has forked it."""

    loop: asyncio.AbstractEventLoop | None = None
    signals: set[signal.Signals | int] | None = None
    """Those that it had blocked; None where the fork is no tool's."""


class _Process:
    """What holds for all threads."""

    pid = os.getpid()
    """Of the process in which tools are called."""
    lifeline: Lifeline | None = None
    files: frozenset[str] = frozenset()
    has_left = False
    """Whether this is a child of such a process, or a child of a child."""
    is_prepared = False


_process = _Process()
_here = _Here()


def install() -> None:
    """Have the children of this process leave it; again is as good as once."""
    if not _process.is_prepared:
        os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_leave)
        _process.is_prepared = True
    if _process.pid != _getpid():
        # A child that calls tools by itself, as a server's that forks before it serves.
        _process.pid, _process.lifeline, _process.has_left = _getpid(), None, False


def tie_children(lifeline: Lifeline | None) -> None:
    """End with `lifeline` whatever a tool forks from now on."""
    _process.lifeline = lifeline


def keep_from_children(files: Iterable[str]) -> None:
    """Have no child keep one of these files open."""
    _process.files = _process.files.union(files)


def end_child(error: BaseException | None = None) -> None:
    """End this process if it is not the one whose tool was called, as the interpreter would after `error`."""
    if _getpid() == _process.pid:
        return
    code: object = error.code if isinstance(error, SystemExit) else error
    if isinstance(code, BaseException):
        traceback.print_exception(code)
        code = 1
    elif code is not None and not isinstance(code, int):
        sys.stderr.write(f"{code}\n")
        code = 1
    os._exit((code or 0) & 0xFF)


def end_child_that_waits() -> None:
    """End this process if it is a child that an async tool has forked, and that is about to wait."""
    if _getpid() != _process.pid:
        end_child(RuntimeError("a child that an async tool has forked cannot await: the loop is its parent's"))


def _before() -> None:
    _here.signals = None
    if current.get() is None and not _process.has_left:
        return  # Nothing that a tool does: an application's own.
    # A signal for the child waits until the child takes it as its own.
    _here.signals = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        _here.loop = asyncio.get_running_loop()
    except RuntimeError:
        _here.loop = None


def _after() -> None:
    if _here.signals is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _here.signals)


def _leave() -> None:
    """The first that a child does."""
    Lifeline.leave()
    if _here.signals is None:
        return
    _process.has_left = True
    current.set(None)
    for leave in (_leave_loop, _leave_signals, _leave_files, _tie, _after):
        try:
            leave()
        except Exception:
            traceback.print_exc()


def _leave_loop() -> None:
    """What the loop of this thread has yet to do, it does in the parent."""
    if _here.loop is not None:
        ready: Any = getattr(_here.loop, "_ready", None)  # Of asyncio's own loops; there is no other way.
        if ready is not None:
            ready.clear()
        _here.loop.stop()


def _leave_signals() -> None:
    """The wake-up descriptor is shared with the parent: a signal for this process would wake the parent's loop."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def _leave_files() -> None:
    """Put nothing in the place of what is the server's, so that nobody else's file gets such a number meanwhile."""
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    opened = [each for each in descriptors.opened() if each != nothing]
    for descriptor in {*descriptors.of_listeners(opened), *_of_files(opened, _process.files)}:
        os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)


def _of_files(opened: Iterable[int], files: frozenset[str]) -> list[int]:
    """Those by which one of `files` is open; on Linux, where one can ask."""
    found = []
    for descriptor in opened:
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{descriptor}") in files:
                found.append(descriptor)
    return found


def _tie() -> None:
    if _process.lifeline is not None:
        tie(_process.lifeline.reading, group=False)
