"""Put back the process's limits that a tool has lowered, and keep the signals of timers from ending the process."""

from __future__ import annotations

import resource
import signal
import threading

_LIMITS = (
    resource.RLIMIT_AS,
    resource.RLIMIT_CPU,
    resource.RLIMIT_DATA,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_NOFILE,
    resource.RLIMIT_STACK,
)
_SIGNALS = (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that end a process by default, and that timers and tools send to their own process."""

_get, _set, _Error = resource.getrlimit, resource.setrlimit, (OSError, ValueError)


class LimitsCheck:
    """Checks that no soft limit is lower than at the start, and raises those that are."""

    def __init__(self) -> None:
        self._before = {limit: _get(limit) for limit in _LIMITS}

    def __call__(self) -> bool:
        is_well = True
        for limit, before in self._before.items():
            if _is_lower(_get(limit)[0], before[0]):
                is_well = _put_back(limit, before) and is_well
        return is_well


def _is_lower(soft: int, before: int) -> bool:
    return soft != before and soft != resource.RLIM_INFINITY and (before == resource.RLIM_INFINITY or soft < before)


def _put_back(limit: int, before: tuple[int, int]) -> bool:
    """Return whether the soft limit is what it was: only a privileged process may raise the hard limit again."""
    try:
        _set(limit, before)
    except _Error:
        try:
            _set(limit, (before[0], _get(limit)[1]))
        except _Error:
            return False
    return True


def survive_timers() -> None:
    """Ignore the signals of timers for which nobody has set a handler. Only the main thread can do this.

    A program that this process starts does not inherit a handler, while it would inherit that a signal is ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, lambda _number, _frame: None)
