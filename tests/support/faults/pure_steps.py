"""Processes that carry runs of ten pure steps and then one of another tool, until they die.

`python -m tests.support.faults.pure_steps FOLDER` starts one for each line on its input: `SECONDS MUTANT`. The process
goes on with the run that it finds, or starts one, again and again. SECONDS after its first call of a tool it kills
itself; `-` stands for never. With MUTANT 1 it calls the impure tool as if it were pure, which the checks must notice.
When it has died, its exit code is printed, negative for a signal.

The tools note each call in the file `ledger` before they do anything: `pure RUN STEP N` or `impure RUN STEP N`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

from service.core.state import State
from service.core.tool import Tool
from service.core.validation import read_graph
from service.engine.engine import Engine, EngineSettings
from service.store import Store
from service.store.commands.start import Start
from service.store.database.opening import database_at
from service.store.queries.runs.filter import RunFilter

EVERY = 10
STEPS = 3 * (EVERY + 1)
GRAPH: dict[str, Any] = {
    "start_node": "a",
    "nodes": {"a": "count", "b": "tell"},
    "edges": {
        "a": [{"to": "b", "condition": {"key": "pure", "op": "==", "value": EVERY}}, "a"],
        "b": {"to": "a", "condition": {"key": "n", "op": "<", "value": STEPS}},
    },
}


def tools(ledger: int, kill_after_s: float | None, *, is_mutant: bool) -> dict[str, Tool]:
    is_armed = kill_after_s is None

    def note(kind: str, state: dict[str, Any], context: Any) -> None:
        nonlocal is_armed
        if not is_armed:
            is_armed = True
            timer = threading.Timer(kill_after_s or 0, os.kill, (os.getpid(), signal.SIGKILL))
            timer.daemon = True
            timer.start()
        os.write(ledger, f"{kind} {context.run_id} {context.step} {state['n']}\n".encode())

    async def count(state: dict[str, Any], context: Any) -> None:
        note("pure", state, context)
        state |= {"n": state["n"] + 1, "pure": state["pure"] + 1}

    async def tell(state: dict[str, Any], context: Any) -> None:
        note("impure", state, context)
        state |= {"n": state["n"] + 1, "pure": 0}

    return {"count": Tool.of(count, pure=True), "tell": Tool.of(tell, pure=is_mutant)}


async def carry(folder: Path, known: dict[str, Tool]) -> None:
    store = Store(database_at(f"sqlite:///{folder / 'rungraph.db'}"), server_id="it", address="", lease_s=15)
    store.open()
    graph = read_graph(GRAPH, known)
    await store.graphs.add(graph)
    engine = Engine(store, known, EngineSettings(folder, 10, 4, 2**20, 15))
    engine.start()
    while True:
        statuses = tuple(await asyncio.gather(*(store.runs.page(RunFilter((status,)), 1) for status in OPEN)))
        if not any(page.items for page in statuses):
            state = State.of({"n": 0, "pure": 0}, 2**20)
            await store.runs.start(Start(uuid.uuid4().hex, graph.id, state, {}))
        await asyncio.sleep(0.002)


OPEN = ("queued", "running")


def live(folder: Path, kill_after_s: str, mutant: str) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    ledger = os.open(folder / "ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    seconds = None if kill_after_s == "-" else float(kill_after_s)
    asyncio.run(carry(folder, tools(ledger, seconds, is_mutant=mutant == "1")))


def main() -> None:
    folder = Path(sys.argv[1])
    for line in sys.stdin:
        # A fork of a process with one thread, so that the modules are not imported each time.
        if (child := os.fork()) == 0:
            live(folder, *line.split())
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
