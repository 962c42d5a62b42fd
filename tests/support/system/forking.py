"""Tools that leave processes behind; each says in its run's log which."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NoReturn

from service import tool

FORK = multiprocessing.get_context("fork")
KEPT: list[Any] = []
"""What has to outlive its tool."""


def stay(seconds: float = 600) -> None:
    """As a process does that is not asked to end nicely."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(seconds)


def stay_for_good() -> NoReturn:
    stay()
    os._exit(0)


@tool
def noop() -> dict[str, Any]:
    return {"ok": True}


@tool
def forks(context: Any) -> None:
    child = os.fork()
    if not child:
        stay_for_good()
    context.log("left", pids=[child])


@tool
def forks_twice(context: Any) -> None:
    fork_twice(context)


@tool
def becomes_a_daemon(context: Any) -> None:
    fork_twice(context, closing=True)


def fork_twice(context: Any, *, closing: bool = False) -> None:
    """As a daemon does: its parent is gone, it is nobody's child and, if `closing`, it has no open files."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.setsid()
        grandchild = os.fork()
        if grandchild:
            os.write(writing, str(grandchild).encode())
            os._exit(0)
        if closing:
            os.closerange(0, 4096)
        stay_for_good()
    os.waitpid(child, 0)
    context.log("left", pids=[int(os.read(reading, 100))])


@tool
def forks_by_multiprocessing(context: Any) -> None:
    process = FORK.Process(target=stay)
    process.start()
    KEPT.append(process)
    context.log("left", pids=[process.pid])


@tool
def forks_a_pool(context: Any) -> None:
    pool = ProcessPoolExecutor(2, mp_context=FORK)
    pids = list(pool.map(pid_after_a_while, range(2)))
    KEPT.append(pool)
    context.log("left", pids=pids)


def pid_after_a_while(_: int) -> int:
    time.sleep(0.1)
    return os.getpid()


@tool
async def forks_awaiting(context: Any) -> None:
    child = os.fork()
    if not child:
        stay_for_good()
    await asyncio.sleep(0)
    context.log("left", pids=[child])


@tool
def starts(context: Any) -> None:
    """A program, which starts another one."""
    sleep = f"import subprocess, sys; print(subprocess.Popen({SLEEP!r}).pid, flush=True); import time; time.sleep(600)"
    child = subprocess.Popen((sys.executable, "-c", sleep), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    KEPT.append(child)
    assert child.stdout is not None
    context.log("left", pids=[child.pid, int(child.stdout.readline())])


SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")


@tool
def comes_back_twice(metadata: dict[str, Any]) -> dict[str, Any]:
    """Parent and child return from here, or raise, as `metadata` says; the child says nothing more."""
    parent = os.getpid()
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return {"code": os.waitstatus_to_exitcode(status)}
    logging.getLogger("child").info("not a line of the run")
    if metadata["how"] == "exits":
        sys.exit(7)
    if metadata["how"] == "raises":
        raise ValueError("the child's own")
    return {"child of": parent}


@tool
async def comes_back_twice_awaiting(metadata: dict[str, Any]) -> dict[str, Any]:
    if metadata["how"] == "in a task":
        return await asyncio.create_task(forked_and_awaiting())
    if metadata["how"] == "awaits":
        return await forked_and_awaiting()
    child = os.fork()
    return await ended(child) if child else {"child": True}


async def forked_and_awaiting() -> dict[str, Any]:
    child = os.fork()
    await asyncio.sleep(0)
    return await ended(child) if child else {"child": True}


async def ended(child: int) -> dict[str, Any]:
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    return {"ended": os.WIFEXITED(status)}


@tool
def terminates_its_child() -> dict[str, Any]:
    process = FORK.Process(target=time.sleep, args=(600,))
    process.start()
    process.terminate()
    while (code := process.exitcode) is None:
        # A thread that starts a process reaps those of the others too, and `join` may return before it says so.
        process.join(0.01)
    return {"code": code}
