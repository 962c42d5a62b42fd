"""The handlers of the signals that stop a server, which code in C can replace."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal

import pytest

from service import process
from service.process import keep_stop_signals

pytestmark = pytest.mark.anyio


async def test_a_handler_that_libc_has_replaced_is_installed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "ARM_EVERY_S", 0.001)
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: loop.call_soon_threadsafe(heard.set))
    try:
        async with asyncio.timeout(60), keep_stop_signals():
            ctypes.CDLL(None).signal(int(signal.SIGTERM), 1)  # SIG_IGN
            os.kill(os.getpid(), signal.SIGTERM)
            while not heard.is_set():
                await asyncio.sleep(0.001)
                os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
