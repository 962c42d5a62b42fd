"""The tools of the servers in these tests; loaded with `--tools`."""

import asyncio
import ctypes
import os
import shutil
import time
from pathlib import Path
from typing import Any

from service import tool

PAUSE_S = float(os.environ.get("PAUSE_S", "0.02"))
SERVER = os.environ.get("SERVER", "one")
HOLD_AT = int(os.environ.get("HOLD_AT", "0"))
"""The step at which the tools that count wait for `go.txt`, so that no run ends before; 0: none."""
HELD_S = 0.2
"""How often each of the many runs that wait for `go.txt` looks for it."""


@tool
async def add(state: dict[str, Any]) -> dict[str, Any]:
    return {"n": state["n"] + 1}


@tool
async def add_slowly(state: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(0.02)
    return {"n": state["n"] + 1}


@tool
async def count(state: dict[str, Any], context: Any) -> dict[str, Any]:
    note(context)
    await asyncio.sleep(PAUSE_S)
    while is_held(context):  # noqa: ASYNC110  # another process makes the file
        await asyncio.sleep(HELD_S)
    return {"n": state["n"] + 1}


@tool
def count_on_a_thread(state: dict[str, Any], context: Any) -> dict[str, Any]:
    note(context)
    context.log("counting", n=state["n"])
    time.sleep(PAUSE_S / 2)
    while is_held(context):
        time.sleep(HELD_S)
    return {"n": state["n"] + 1}


@tool
def sleep_long(context: Any) -> None:
    context.log("sleeping")
    time.sleep(600)


@tool
def sleep_long_first(state: dict[str, Any], context: Any) -> dict[str, Any]:
    """Sleep only in the first attempt."""
    note(context)
    if context.attempt == 1:
        time.sleep(600)
    return {"n": state["n"] + 1}


@tool
def spin(context: Any) -> None:
    context.log("spinning", pid=os.getpid())
    while True:
        pass


@tool
def crash() -> None:
    ctypes.string_at(0)


@tool
def fill(state: dict[str, Any]) -> dict[str, Any]:
    """Grow the state by 64 KiB a step, to fill a disk."""
    return {"n": state["n"] + 1, "blob": str(state["n"]) * (65536 // len(str(state["n"])))}


def note(context: Any) -> None:
    """Write down who executes which step, where all servers of a test can."""
    with Path("executions.txt").open("a") as file:
        file.write(f"{context.run_id} {context.step} {SERVER}\n")


def is_held(context: Any) -> bool:
    return context.step == HOLD_AT and not Path("go.txt").exists()


@tool
async def square(state: dict[str, Any], context: Any) -> dict[str, Any]:
    note(context)
    await asyncio.sleep(0.01)
    return {"square": state["by"] * state["item"] ** 2}


@tool
def copy_database() -> None:
    shutil.copy("rungraph.db", "copy.db")
