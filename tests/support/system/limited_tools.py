"""The tools of the servers in tests of limits. Each call notes its beginning and its end in a ledger of its own."""

import os
import time
from pathlib import Path
from typing import Any

from service import tool

LEDGER = Path("ledger.txt")


def note(what: str, context: Any) -> None:
    """Append a line, in one write: many processes have the file."""
    line = f"{what} {context.run_id} {context.step} {context.attempt} {os.getpid()} {time.monotonic()}\n"
    with LEDGER.open("ab", buffering=0) as file:
        file.write(line.encode())


@tool(limit="few")
def work(state: dict[str, Any], context: Any) -> None:
    note("begin", context)
    time.sleep(state["s"])
    note("end", context)


@tool(limit="rate")
async def ring(context: Any) -> None:
    note("begin", context)
