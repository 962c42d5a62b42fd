"""Keep child processes that a tool forks from acting as a second server, and end them with the server.

A child has one thread, which executes the tool. The child closes the server's files, so that it accepts no connection
and writes to no database. It resets signal handlers. It ends when the tool returns, because the attempt and the tasks
of the loop belong to the parent.

A child that closes all its descriptors, as a daemon does, also closes its lifeline and may outlive the server. Such a
child has no threads and no files of the server. PR_SET_PDEATHSIG would not end it with the server, since a daemon's
parent ends at once.

Programs that a tool starts (`subprocess`, multiprocessing's `spawn`) are not affected: they inherit no descriptors.
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
from service.engine.guard.own_process import claim, is_child
from service.engine.lines import current


class _ForkingThread(threading.local):
    """What a child must know about the thread that forked it."""

    loop: asyncio.AbstractEventLoop | None = None
    signals: set[signal.Signals | int] | None = None
    """The signals that the thread had blocked before the fork. None: no tool made the fork."""


class _Process:
    """What all threads of this process share."""

    lifeline: Lifeline | None = None
    files: frozenset[str] = frozenset()
    """The paths of the files that a child closes."""
    has_left = False
    """Whether a tool forked this process or one of its ancestors, and this process does not call tools itself."""
    is_prepared = False


_process = _Process()
_here = _ForkingThread()


def install() -> None:
    """Install the fork hooks of this process. It is idempotent."""
    if not _process.is_prepared:
        os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_leave)
        _process.is_prepared = True
    _begin_anew_in_child()


def tie_children(lifeline: Lifeline | None) -> None:
    """Tie the children that tools fork from now on to `lifeline`, or to none if it is None."""
    _begin_anew_in_child()
    _process.lifeline = lifeline


def keep_from_children(files: Iterable[str]) -> None:
    """Make the children that tools fork close `files` (paths), in addition to those of earlier calls."""
    _process.files = _process.files.union(files)


def end_child(error: BaseException | None = None) -> None:
    """End this process if it is a forked child, with the exit code that the interpreter would use for `error`."""
    if not is_child():
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
    """End this process with an error if it is a forked child. Call this before and after each turn of an async tool."""
    if is_child():
        end_child(RuntimeError("a child forked by an async tool cannot await: the loop belongs to its parent"))


def _begin_anew_in_child() -> None:
    """Forget the parent in a child that calls tools itself, such as a server that forks before it serves."""
    if is_child():
        claim()
        _process.lifeline, _process.has_left = None, False


def _before() -> None:
    _here.signals = None
    if current.get() is None and not _process.has_left:
        return  # The application itself forks, not a tool.
    # Signals are blocked until the child has reset its handlers.
    _here.signals = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        _here.loop = asyncio.get_running_loop()
    except RuntimeError:
        _here.loop = None


def _after() -> None:
    if _here.signals is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _here.signals)


def _leave() -> None:
    """Detach a child from the server. Python calls this in the child before `os.fork` returns there."""
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
    """Drop the callbacks of this thread's loop, since the parent runs them."""
    if _here.loop is not None:
        ready: Any = getattr(_here.loop, "_ready", None)  # asyncio has no public name for the callbacks.
        if ready is not None:
            ready.clear()
        _here.loop.stop()


def _leave_signals() -> None:
    """Reset the signal handlers. Unset the wake-up descriptor, through which a signal would wake the parent's loop."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def _leave_files() -> None:
    """Replace the descriptors of listeners, of their connections and of the server's files by the null device.

    They are not just closed, because a file that the child opens later could then get one of their numbers.
    """
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    opened = [each for each in descriptors.opened() if each != nothing]
    for descriptor in {*descriptors.of_listeners(opened), *_of_files(opened, _process.files)}:
        os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)


def _of_files(opened: Iterable[int], files: frozenset[str]) -> list[int]:
    """Return the descriptors in `opened` that belong to `files`. On systems other than Linux, return none."""
    found = []
    for descriptor in opened:
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{descriptor}") in files:
                found.append(descriptor)
    return found


def _tie() -> None:
    if _process.lifeline is not None:
        tie(_process.lifeline.reading, group=False)
