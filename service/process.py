"""This process: its signals, its end, its garbage collector and the address at which it can be reached."""

from __future__ import annotations

import _thread
import atexit
import gc
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Any

from service.memory import memory_bytes

LAST_RESORT_S = 14.0
"""How long a stop may take before the process is ended. Nothing is lost: everything acknowledged is on disk."""

ARM_EVERY_S = 1.0
"""The interval at which the handlers of SIGINT and SIGTERM are installed again."""

ACTIVE_SHARE = 16
"""The states of the runs that a server executes may take 1/ACTIVE_SHARE of its memory."""

# These names are bound here because a tool may later replace the attributes of `signal`, `_thread`, `time` and `os`.
_handler_of, _handle = signal.getsignal, signal.signal
_start_thread, _sleep, _exit = _thread.start_new_thread, time.sleep, os._exit

YOUNG_MAX = 2000
"""A garbage collection starts after this many new objects. Python 3.13 has this default; older versions have 700.

The steps that wait for one commit consist of more objects than 700, and none of these is garbage. The higher number
saves 4 % of the processor time of S2 in benchmarks/compare.py.
"""

_UVICORN_DEFAULTS = {"host": "127.0.0.1", "port": "8000"}


@contextmanager
def on_stop_signal(*actions: Callable[[], None]) -> Iterator[None]:
    """Within the context, run `actions` when SIGINT or SIGTERM arrives, and then the handler that was installed before.

    Without this, a lifespan would learn of the stop too late, because uvicorn ends it only when every connection is
    closed. Outside the main thread, do nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: FrameType | None) -> None:
        for action in actions:
            action()
        following: Any = before[signal.Signals(number)]
        if callable(following):
            following(number, frame)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, handler)


@asynccontextmanager
async def keep_stop_signals() -> AsyncIterator[None]:
    """Within the context, install the handlers of SIGINT and SIGTERM again every ARM_EVERY_S.

    A tool that calls C code, such as libc's `signal`, can replace the handlers, and Python does not notice. Outside the
    main thread, do nothing.
    """
    import asyncio  # Commands that only read do without it.

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []

    def arm() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            if callable(handler := _handler_of(number)):
                _handle(number, handler)
        timers[:] = [loop.call_later(ARM_EVERY_S, arm)]

    arm()
    try:
        yield
    finally:
        timers[0].cancel()


def end_at_last() -> None:
    """End the process once LAST_RESORT_S has passed, even if threads of tools still run. Return at once."""
    _start_thread(_end_later, ())


def _end_later() -> None:
    _sleep(LAST_RESORT_S)
    _exit(0)


def default_active_bytes_max(state_bytes_max: int) -> int:
    """Return how many bytes the states of all executed runs may have: always enough for two of the largest states."""
    return max(memory_bytes() // ACTIVE_SHARE, 2 * state_bytes_max)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause garbage collection. Imports make many objects and little garbage; a pause saves a sixth of their time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def tune_collector() -> None:
    """Exclude the objects that exist now from all later garbage collections, and make collections rarer.

    Most of these objects belong to modules. A full collection would traverse them all, and every call would wait.
    """
    gc.collect()
    gc.freeze()
    if 0 < gc.get_threshold()[0] < YOUNG_MAX:
        gc.set_threshold(YOUNG_MAX)
    # If objects stay frozen, extension modules report them on stderr at the exit.
    atexit.register(gc.unfreeze)


def url_of(host: str, port: int | str) -> str:
    """Return the URL of a server at `host` and `port`."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def url_of_uvicorn(argv: Sequence[str], environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the URL at which uvicorn serves, from its options and variables, or None if `argv` is not uvicorn's."""
    if not argv or "uvicorn" not in argv[0]:
        return None
    found = {name: environment.get(f"UVICORN_{name.upper()}", default) for name, default in _UVICORN_DEFAULTS.items()}
    for name in found:
        for index, argument in enumerate(argv):
            if argument == f"--{name}" and index + 1 < len(argv):
                found[name] = argv[index + 1]
            elif argument.startswith(f"--{name}="):
                found[name] = argument.partition("=")[2]
    return url_of(found["host"], found["port"])
