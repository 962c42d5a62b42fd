"""The tools of the attacked server."""

from __future__ import annotations

import asyncio
from typing import Any

from service import tool

MIB = 2**20


@tool
async def count(state: dict[str, Any]) -> dict[str, Any]:
    return {"n": state.get("n", 0) + 1}


@tool
async def count_slowly(state: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(0.2)
    return {"n": state.get("n", 0) + 1}


@tool
def grow(state: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
    """Set `mib` keys of a MiB each."""
    return {"n": state.get("n", 0) + 1} | {f"k{number}": "x" * (MIB - 100) for number in range(metadata["mib"])}


@tool
def rewrite(state: dict[str, Any]) -> dict[str, Any]:
    """Write a MiB anew at each step."""
    n = state.get("n", 0) + 1
    return {"n": n, "text": str(n % 10) * (MIB - 100)}


@tool
def chatter(context: Any, metadata: dict[str, Any]) -> None:
    """Log `lines` lines as long as they may be."""
    for number in range(metadata["lines"]):
        context.log("m" * 16_000, number=number, more="d" * 60_000)


@tool
async def sleep_long() -> None:
    await asyncio.sleep(600)
