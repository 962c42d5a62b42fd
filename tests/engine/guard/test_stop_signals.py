"""The handlers of the signals that stop a server, which code in C can replace."""

from __future__ import annotations

import ctypes
import os
import signal

from service.process import arm_stop_signals


def test_a_handler_that_libc_has_replaced_is_installed_again() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    try:
        ctypes.CDLL(None).signal(int(signal.SIGTERM), 1)  # SIG_IGN
        os.kill(os.getpid(), signal.SIGTERM)
        assert heard == []
        arm_stop_signals()
        os.kill(os.getpid(), signal.SIGTERM)
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
