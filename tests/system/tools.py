"""The tools of the servers in these tests; loaded with `--tools`."""

import asyncio
import time
from typing import Any

from service import tool


@tool
async def add(state: dict[str, Any]) -> dict[str, Any]:
    return {"n": state["n"] + 1}


@tool
async def add_slowly(state: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(0.02)
    return {"n": state["n"] + 1}


@tool
def sleep_long(context: Any) -> None:
    context.log("sleeping")
    time.sleep(600)


@tool
def fill(state: dict[str, Any]) -> dict[str, Any]:
    """Grow the state by 64 KiB a step, to fill a disk."""
    return {"n": state["n"] + 1, "blob": str(state["n"]) * (65536 // len(str(state["n"])))}
