"""Tools that note the context in which they are called, and change it."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import sys
from typing import Any

from service.core.tool import Tool

COLOUR: contextvars.ContextVar[str] = contextvars.ContextVar("COLOUR", default="none")


def seen_and_set(state: dict[str, Any]) -> None:
    """Note what is there at the beginning, and set everything that could stay."""
    state["seen"].append([COLOUR.get(), decimal.getcontext().prec, sys.gettrace() is None, sys.getprofile() is None])
    state["n"] += 1
    COLOUR.set("red")
    decimal.getcontext().prec = 5
    sys.settrace(lambda *_: None)
    sys.setprofile(lambda *_: None)


async def at_once(state: dict[str, Any]) -> None:
    seen_and_set(state)


async def after_a_while(state: dict[str, Any]) -> None:
    await asyncio.sleep(0)
    seen_and_set(state)
    await asyncio.sleep(0)
    assert (COLOUR.get(), decimal.getcontext().prec) == ("red", 5)
    # What it starts has the context of who starts it, as ever.
    assert await asyncio.create_task(colour()) == "red"
    assert await asyncio.to_thread(COLOUR.get) == "red"


async def colour() -> str:
    return COLOUR.get()


async def names_its_task(state: dict[str, Any]) -> None:
    task = asyncio.current_task()
    assert task is not None
    state["seen"].append(task.get_name() == "mine")
    state["n"] += 1
    task.set_name("mine")


TOOLS = {tool.__name__: Tool.of(tool) for tool in (seen_and_set, at_once, after_a_while)}
