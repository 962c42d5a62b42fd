"""Which signals a server ignores; tests/system/test_watchdog.py sends them to one."""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from service.engine.guard.signals import survive_signals
from tests.support.checkout import CHECKOUT

KEPT = (
    *("SIGTERM", "SIGINT", "SIGQUIT", "SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP"),
    *("SIGCHLD", "SIGCONT", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGWINCH"),
)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    yield
    for number, handler in before.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def test_handlers_of_others_stay() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGUSR2, lambda number, _: heard.append(number))
    signal.signal(signal.SIGPROF, signal.SIG_IGN)
    with open(os.devnull, "w") as nothing:
        faulthandler.register(signal.SIGUSR1, file=nothing)  # A handler in C, of which `signal` does not know.
        survive_signals()
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
        faulthandler.unregister(signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR2)
    assert heard == [signal.SIGUSR2]
    assert signal.getsignal(signal.SIGPROF) == signal.SIG_IGN


def test_signals_that_end_or_stop_a_process_or_report_a_fault_keep_their_action() -> None:
    before = {name: signal.getsignal(signal.Signals[name]) for name in KEPT}
    survive_signals()
    assert {name: signal.getsignal(signal.Signals[name]) for name in KEPT} == before


@pytest.mark.parametrize("has_terminal", [False, True])
def test_a_hangup_is_ignored_without_a_terminal(has_terminal: bool) -> None:
    child, terminal = os.forkpty() if has_terminal else (os.fork(), -1)
    if not child:
        if not has_terminal:
            os.setsid()
        survive_signals()
        os._exit(signal.getsignal(signal.SIGHUP) == signal.SIG_DFL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == has_terminal
    if has_terminal:
        os.close(terminal)


def test_only_the_main_thread_changes_handlers() -> None:
    thread = threading.Thread(target=survive_signals)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL


ALL_AT_ONCE = """
import os, signal
from service.engine.guard import signals
signals.report_faults()
signals.survive_signals()
ignored = [number for number in signal.valid_signals() if signal.getsignal(number) is signals._ignore]
signal.pthread_sigmask(signal.SIG_BLOCK, ignored)
for number in ignored:
    os.kill(os.getpid(), number)
signal.pthread_sigmask(signal.SIG_UNBLOCK, ignored)
print(len(ignored), "survived")
"""


def test_all_signals_may_arrive_together() -> None:
    """Their handlers nest. On the small stack that `faulthandler` sets aside, a few of them would overflow."""
    command = (sys.executable, "-c", ALL_AT_ONCE)
    ended = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True)
    assert int(ended.stdout.split()[0]) >= 10
