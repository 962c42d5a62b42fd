"""Tools that crash, spin, block and break out of their process, and some well-behaved tools."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import inspect
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.core.tool import Tool

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")


def change(state: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
    del state["gone"]
    state["list"].append((1, -0.0))
    return {"metadata": metadata, "new": 2**64, "also new": {"b": 1, "a": 0.1}}


async def change_awaiting(state: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(0)
    return change(state, metadata)


def place(context: Any) -> dict[str, Any]:
    (context.folder / "left.txt").write_text("here")
    where = [context.run_id, context.step, context.attempt, context.node, context.idempotency_key]
    return {"seen": where, "pid": os.getpid(), "main": threading.current_thread() is threading.main_thread()}


def surroundings() -> dict[str, Any]:
    opened = {int(name) for name in os.listdir("/proc/self/fd")}
    return {
        "path": sys.path,
        "folder": os.getcwd(),
        "PYTHONPATH": os.environ.get("PYTHONPATH"),
        "environment": dict(os.environ),
        "sockets": sum(1 for fd in opened if _is_socket(fd)),
        "inherited": sum(1 for fd in opened if _is_socket(fd) and not fcntl.fcntl(fd, fcntl.F_GETFD)),
    }


def _is_socket(fd: int) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    except OSError:
        return False


def large(state: dict[str, Any]) -> dict[str, Any]:
    return {"copy": state["text"][::-1]}


def nan() -> dict[str, Any]:
    return {"bad": float("nan")}


def five() -> int:
    return 5


def too_deep() -> dict[str, Any]:
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    return {"deep": deep}


def too_large() -> dict[str, Any]:
    return {"large": "x" * 2**24}


def a_set() -> dict[str, Any]:
    return {"bad": {1}}


def value_error() -> None:
    raise ValueError("no \ud800")


def system_exit() -> None:
    raise SystemExit(3)


async def interrupted() -> None:
    raise KeyboardInterrupt


async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


async def stops_the_loop() -> dict[str, Any]:
    asyncio.get_running_loop().stop()
    return {"stopped": True}


async def leaves_exit_behind() -> None:
    async def leave() -> None:
        raise SystemExit(3)

    asyncio.create_task(leave())  # noqa: RUF006  # nobody is to hear of it
    for _ in range(3):
        await asyncio.sleep(0)


async def leaves_blocked_thread_behind() -> dict[str, Any]:
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)
    return {"pid": os.getpid()}


def logs(context: Any) -> None:
    context.log("by context", colour="red", odd={1})
    logging.getLogger("somebody").debug("not this")
    logging.getLogger("somebody").warning("careful %d", 3)


async def logs_awaiting(context: Any) -> None:
    await asyncio.to_thread(logs, context)


def floods(context: Any, metadata: dict[str, Any]) -> None:
    for number in range(metadata.get("lines", 10_007)):
        context.log(str(number))


def prints_and_reads() -> dict[str, Any]:
    print("to stdout")  # noqa: T201
    print("to stderr", file=sys.stderr)  # noqa: T201
    os.write(1, b"to fd 1\n")
    read = [sys.stdin.read(), os.read(0, 10).decode()]
    return {"read": read, "started": subprocess.run(["cat"], capture_output=True, check=True).stdout.decode()}


def closes_its_streams() -> dict[str, Any]:
    sys.stdout.close()
    return {"closed": True}


def waits_for_a_file(context: Any, metadata: dict[str, Any]) -> dict[str, Any]:
    """Until the file `metadata` names is there; says first who waits."""
    context.log("begun", pid=os.getpid())
    while not Path(metadata["until"]).exists():
        time.sleep(0.005)
    return {"pid": os.getpid()}


def segfaults(context: Any) -> None:
    context.log("last words")
    ctypes.string_at(0)


def exits() -> None:
    os._exit(3)


def kills_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def closes_all_fds() -> None:
    os.closerange(0, 1000)


def says_nonsense() -> None:
    """Into every socket there is."""
    for name in os.listdir("/proc/self/fd"):
        if _is_socket(int(name)):
            with socket.socket(fileno=os.dup(int(name))) as found:
                found.send(b"\xff" * 64)
    time.sleep(600)


def forks_and_returns() -> dict[str, Any]:
    """Two processes return from here; one of them is the one that was called."""
    caller = os.getpid()
    os.fork()
    return {"is_called": os.getpid() == caller}


def leaves_a_child(context: Any) -> None:
    """That holds on to all that it inherits, and dies."""
    child = os.fork()
    if not child:
        time.sleep(600)
    context.log("begun", pid=child)
    os._exit(0)


def spins(context: Any) -> None:
    context.log("begun", pid=os.getpid())
    while True:
        pass


def spins_in_c(context: Any) -> None:
    """No thread of Python's runs meanwhile, nor a signal's handler."""
    context.log("begun", pid=os.getpid())
    while True:
        ctypes.PyDLL(None).sleep(600)


async def sleeps(context: Any) -> None:
    context.log("begun", pid=os.getpid())
    await asyncio.sleep(600)


async def swallows_its_cancel() -> None:
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            continue


def starts_others(context: Any) -> None:
    """One that runs, and one that its own child has started."""
    deep = f"import subprocess, sys; p = subprocess.Popen({SLEEP!r}); print(p.pid, flush=True); p.wait()"
    with subprocess.Popen((sys.executable, "-c", deep), stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        context.log("begun", pid=child.pid, deep=int(child.stdout.readline()))
        time.sleep(600)


def _awaiting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """An async version of a plain tool, which calls it on a thread."""

    async def awaiting(**given: Any) -> Any:
        return await asyncio.to_thread(function, **given)

    awaiting.__name__ = f"{name}_awaiting"
    awaiting.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return awaiting


for _name in (
    *("large", "place", "value_error", "nan", "five", "too_deep", "too_large", "a_set", "floods", "waits_for_a_file"),
):
    globals()[f"{_name}_awaiting"] = _awaiting(_name, globals()[_name])


async def system_exit_awaiting() -> None:
    raise SystemExit(3)


TOOLS = {
    made.name: made
    for made in (
        Tool.of(function)
        for name, function in list(globals().items())
        if getattr(function, "__module__", None) == __name__ and not name.startswith("_")
    )
}
