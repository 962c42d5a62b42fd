"""Measure what watching clients cost a busy server: 200 open tails at 1,000 lines a second, and ten open pages.

    python benchmarks/watched.py [--rounds 5] [--postgres] [--tails 200] [--lists 5] [--runs 5]

A server executes BUSY runs without an end and, for each tail, a run that writes a line now and then. Windows in which
nobody watches and in which everybody does follow each other; the first and the last are without. Pages ask what the
page's own modules ask: a list its runs every 2 s and its counts every 6 s; a run its lines by WebSocket and, after
steps, the run with its path, `why` and steps. Beside the steps a second there are the steps for each second of the
server's processor time, without the clients'.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from pruning import WINDOW_S, steps_of
from support.ours import Server, databases, new_folder, serve
from websockets.asyncio.client import connect

BUSY = 50
LINES_PER_S = 1000
LIST_EVERY_S, COUNTS_EVERY_S = 2.0, 6.0
REFRESH_S, REST_FACTOR, REST_S_MAX = 1.0, 19, 5.0
"""As `REFRESH_MS`, `REST_FACTOR` and `REST_MS_MAX` of `service/page/lib/run.js`."""
TOOLS = """
import asyncio

from service import tool


@tool
async def add(state):
    state["count"] += 1


@tool
async def tick(state):
    state["count"] += 1
    await asyncio.sleep(state["every_s"])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--tails", type=int, default=200)
    parser.add_argument("--lists", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.port:
        asyncio.run(watch(given))
        return
    with databases(given.postgres) as made, new_folder() as folder:
        url = made.empty() if made else f"sqlite:///{folder / 'watched.db'}"
        with serve(folder, url, tools=TOOLS) as server:
            measure(given, server)


def measure(given: argparse.Namespace, server: Server) -> None:
    busy = [start(server, "add") for _ in range(BUSY)]
    ticking = [start(server, "tick", every_s=given.tails / LINES_PER_S) for _ in range(given.tails)]
    run_ids = json.dumps({"tails": ticking, "pages": busy[: given.runs]})
    ratios = []
    time.sleep(2)
    before = rates(server)
    for _ in range(given.rounds):
        with watching(given, server, run_ids):
            time.sleep(2)
            watched = rates(server)
        time.sleep(2)
        after = rates(server)
        # The mean of both sides, because a server becomes slower or faster by itself in the course of the minutes.
        alone = [statistics.mean(pair) for pair in zip(before, after, strict=True)]
        ratios.append([some / all_ for some, all_ in zip(watched, alone, strict=True)])
        print(f"{before[0]:,.0f} steps/s; watched {watched[0]:,.0f}; {after[0]:,.0f}: {ratios[-1][0]:.3f}", flush=True)
        before = after
    for name, found in zip(("steps/s", "steps for each s of processor time"), zip(*ratios, strict=True), strict=True):
        print(f"{name}: median {statistics.median(found):.3f}  min {min(found):.3f}  max {max(found):.3f}")


@contextmanager
def watching(given: argparse.Namespace, server: Server, run_ids: str) -> Iterator[None]:
    """Watch in another process."""
    command = [sys.executable, __file__, "--port", str(server.port), "--lists", str(given.lists)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as clients:
        assert clients.stdin is not None
        assert clients.stdout is not None
        clients.stdin.write(run_ids)
        clients.stdin.close()
        clients.stdout.readline()  # All are open.
        try:
            yield
            if clients.poll() is not None:
                raise SystemExit("the clients have ended by themselves")
        finally:
            clients.terminate()


def rates(server: Server) -> tuple[float, float]:
    """Return the steps for each second, and for each second of the server's processor time."""
    begun, cpu_s, steps = time.monotonic(), server.cpu_s(), steps_of(server)
    time.sleep(WINDOW_S)
    done = steps_of(server) - steps
    return done / (time.monotonic() - begun), done / (server.cpu_s() - cpu_s)


def start(server: Server, tool: str, **state: Any) -> str:
    graph = {"start_node": tool, "max_steps": 10**9, "nodes": {tool: tool}, "edges": {tool: tool}}
    graph_id = server.post("/graph/create", graph)["graph_id"]
    started = server.post("/graph/run", {"graph_id": graph_id, "initial_state": {"count": 0, **state}})
    return str(started["run_id"])


async def watch(given: argparse.Namespace) -> None:
    """Watch until this process is ended."""
    run_ids = json.loads(sys.stdin.read())
    at = f"127.0.0.1:{given.port}"
    # The server closes a connection that was idle for 5 s, perhaps just when a request is sent. A browser tries again.
    limits = httpx.Limits(keepalive_expiry=3)
    async with (
        httpx.AsyncClient(base_url=f"http://{at}", timeout=60, limits=limits) as client,
        asyncio.TaskGroup() as group,
    ):
        sockets = []
        for run_id in run_ids["tails"]:
            last_seq = (await client.get(f"/runs/{run_id}")).json()["last_seq"]
            sockets.append(await connect(f"ws://{at}/ws/logs/{run_id}?after_seq={last_seq}"))
        for socket in sockets:
            group.create_task(read(socket))
        for run_id in run_ids["pages"]:
            group.create_task(show_run(client, at, run_id))
        for _ in range(given.lists):
            group.create_task(ask(client, LIST_EVERY_S, "/runs?limit=50"))
            group.create_task(ask(client, COUNTS_EVERY_S, "/runs/counts"))
        print("open", flush=True)


async def read(socket: Any, arrived: asyncio.Event | None = None) -> None:
    async for _ in socket:
        if arrived is not None:
            arrived.set()
    raise SystemExit("a tail was closed")


async def ask(client: httpx.AsyncClient, every_s: float, path: str) -> None:
    while True:
        (await client.get(path)).raise_for_status()
        await asyncio.sleep(every_s)


async def show_run(client: httpx.AsyncClient, at: str, run_id: str) -> None:
    """Do what a page of a run does: see `RunModel` in `service/page/lib/run.js`."""
    arrived = asyncio.Event()
    run = (await client.get(f"/runs/{run_id}")).json()
    socket = await connect(f"ws://{at}/ws/logs/{run_id}?after_seq={run['last_seq']}")
    async with asyncio.TaskGroup() as group:
        group.create_task(read(socket, arrived))
        while True:
            await arrived.wait()
            begun = time.monotonic()
            run, *_ = await asyncio.gather(*(client.get(f"/runs/{run_id}{what}") for what in ("", "/why", "/path")))
            step = run.json()["step"]
            await client.get(f"/runs/{run_id}/steps?after_step={step - 12}&limit=12")
            arrived.clear()
            await asyncio.sleep(min(REST_S_MAX, max(REFRESH_S, REST_FACTOR * (time.monotonic() - begun))))


if __name__ == "__main__":
    main()
