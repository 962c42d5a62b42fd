"""Ignore signals that would end a server and that it has no use for.

The default action of most signals ends the process. A tool in the server's own process can send such a signal to the
server, for example by a timer or with `os.kill`. The server ignores all of these signals except:

- SIGINT, SIGTERM, SIGQUIT and SIGKILL are sent to end a process.
- SIGSEGV, SIGABRT and their like report a fault after which the process cannot go on. `faulthandler` reports most of
  them first.
- SIGHUP reports that the controlling terminal is closed. It is ignored if there is no such terminal.

A signal that already has a handler keeps it, even if the handler is written in C, as those of profilers are.
"""

from __future__ import annotations

import _thread
import ctypes
import faulthandler
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

logger = logging.getLogger(__name__)

_ENDING = {"SIGINT", "SIGKILL", "SIGQUIT", "SIGTERM"}
_FAULTS = {"SIGABRT", "SIGBUS", "SIGEMT", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP"}
_HARMLESS = {"SIGCHLD", "SIGCONT", "SIGINFO", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGWINCH"}
"""Signals whose default action does not end the process."""

_TIMERS = {
    getattr(signal, name): getattr(signal, timer)
    for name, timer in (("SIGALRM", "ITIMER_REAL"), ("SIGVTALRM", "ITIMER_VIRTUAL"), ("SIGPROF", "ITIMER_PROF"))
    if hasattr(signal, name)
}
"""For each signal that a timer of the process sends, that timer."""
_stop_timer = signal.setitimer

_seen: set[int] = set()
"""The signals that have arrived. Each is logged at its first arrival only."""
_start_thread, _anything = _thread.start_new_thread, BaseException


def survive_signals() -> None:
    """Ignore signals that would end the process. Do nothing outside of the main thread, which alone can do this.

    The signals get a handler, not SIG_IGN, because a program that this process starts would inherit SIG_IGN.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _useless():
        if _has_default_action(number):
            signal.signal(number, _ignore)
            signal.siginterrupt(number, False)  # A call that a tool has made in C must not fail with EINTR.
    _drop_the_signal_stack()


def report_faults() -> None:
    """Make a fault, such as SIGSEGV, write to stderr before it ends the process.

    The report names the fault and the line of Python that was being executed.
    """
    if not faulthandler.is_enabled():
        with suppress(OSError, ValueError, RuntimeError, AttributeError):  # There is no stderr.
            faulthandler.enable(all_threads=False)


class _SignalStack(ctypes.Structure):
    """`stack_t` of Linux."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def _drop_the_signal_stack() -> None:
    """Give up the alternate signal stack that `faulthandler` sets for the main thread.

    Python's handlers run on this stack if it exists. It has room for a few frames only: a frame takes up to 11 KiB, and
    the frames of signals that arrive together are nested. Without it, an overflow of the main thread's own stack is not
    reported.
    """
    if sys.platform == "linux":
        disabled = 2  # SS_DISABLE
        ctypes.CDLL(None).sigaltstack(ctypes.byref(_SignalStack(None, disabled, 0)), None)


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # Only the first and the last real-time signal have a name.
        return f"signal {number}"


def _useless() -> list[int]:
    kept = _ENDING | _FAULTS | _HARMLESS
    if _has_terminal():
        kept.add("SIGHUP")
    return [number for number in signal.valid_signals() if _name_of(number) not in kept]


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _has_default_action(number: int) -> bool:
    """Return whether the action of a signal is the default one.

    This does not use `signal.getsignal`, which does not know of handlers that C code has set.
    """
    find = ctypes.pythonapi.PyOS_getsig
    find.restype = ctypes.c_void_p
    return find(number) is None  # SIG_DFL is the null pointer.


def _ignore(number: int, _frame: FrameType | None) -> None:
    if number in _TIMERS:
        _stop_timer(_TIMERS[number], 0)  # A timer with a tiny period would leave the main thread no time for its work.
    if number in _seen:
        return
    _seen.add(number)
    try:
        # Log in another thread, because this handler may have interrupted a write to the log.
        _start_thread(_report, (number,))
    except _anything:
        return  # No thread can be started. The handler must not raise, since it may interrupt any code.


def _report(number: int) -> None:
    logger.warning("this process was sent %s, perhaps by a tool, and ignores it from now on", _name_of(number))
