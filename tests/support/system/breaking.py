"""Tools that take away what their server needs to work, in their first attempt."""

from __future__ import annotations

import builtins
import os
import resource
import signal
import time
from contextlib import suppress
from typing import Any

from service import tool


@tool
def noop() -> dict[str, Any]:
    return {"ok": True}


@tool
def takes_away(metadata: dict[str, Any], context: Any) -> None:
    for name in metadata["builtins"] if context.attempt == 1 else ():
        setattr(builtins, name, None)


@tool
def takes_all_away(context: Any) -> None:
    if context.attempt == 1:
        vars(builtins).clear()


@tool
def closes_all(metadata: dict[str, Any], context: Any) -> None:
    if context.attempt == 1:
        os.closerange(metadata["first"], 1000)


@tool
def closes(metadata: dict[str, Any], context: Any) -> None:
    """All descriptors of a kind, or one of them."""
    found: list[int] = []
    if context.attempt > 1:
        return
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if metadata["kind"] in os.readlink(f"/proc/self/fd/{name}"):
                found.append(int(name))
    found.sort()
    for descriptor in found[metadata.get("first", 0) :][: metadata.get("count", 1000)]:
        os.close(descriptor)


@tool
def sets_limits_and_timers() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    resource.setrlimit(resource.RLIMIT_NOFILE, (5, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    if os.geteuid() == 0:
        os.seteuid(65534)
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0.01, 1e-6)  # Its signals would take the main thread.


@tool
def sends_itself_signals(metadata: dict[str, Any]) -> None:
    for number in metadata["signals"]:
        os.kill(os.getpid(), number)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (1, hard))


@tool
def blocks(metadata: dict[str, Any]) -> None:
    time.sleep(metadata["seconds"])


@tool
async def blocks_its_loop(metadata: dict[str, Any]) -> None:
    blocks(metadata)
