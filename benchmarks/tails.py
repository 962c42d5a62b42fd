"""S6: measure the time from the commit of a line to its arrival at a WebSocket client, with many tails open.

    python benchmarks/tails.py [--tails 200] [--lines 1000] [--seconds 30] [--postgres]

A server with as many runs as tails, each with one client; every step commits one line, and their steps are spread
evenly over time. The clients are another process. A line's `ts` is the database's clock when its transaction began,
cut to the millisecond, and the clients read the same machine's clock: what is shown holds the commit itself as well,
and up to a millisecond too much.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from support.ours import Server, databases, new_folder, serve
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedOK

WARM_UP_S = 5.0
"""From the first step until lines count."""
AHEAD_S = 6.0
"""Until the first step, for the clients to connect."""
PARTS = 5

# The pace is that of a clock: a step that comes late does not delay those after it.
TOOLS = """
import asyncio
import time

from service import tool


@tool
async def tick(state):
    state["count"] += 1
    await asyncio.sleep(max(0.0, state["begin"] + state["count"] * state["every_s"] - time.time()))
"""

Arrivals = list[tuple[float, str]]
"""Of one client: when each message came, and the message."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tails", type=int, default=200)
    parser.add_argument("--lines", type=int, default=1000, help="a second, of all tails together")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--clients-of", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.clients_of:
        asyncio.run(listen(given.clients_of))
        return
    with databases(given.postgres) as made, new_folder() as folder:
        url = made.empty() if made else f"sqlite:///{folder / 'tails.db'}"
        measure(given, folder, url)


def measure(given: argparse.Namespace, folder: Path, url: str) -> None:
    every_s = given.tails / given.lines
    with serve(folder, url, tools=TOOLS) as server:
        begin = time.time() + AHEAD_S
        window = (begin + WARM_UP_S, begin + WARM_UP_S + given.seconds)
        steps = int((window[1] - begin + 1) / every_s)
        run_ids = start(server, given.tails, begin, every_s, steps)
        with subprocess.Popen(
            [sys.executable, __file__, "--clients-of", str(server.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as clients:
            assert clients.stdin is not None
            assert clients.stdout is not None
            clients.stdin.write(json.dumps(run_ids))
            clients.stdin.close()
            busy = share_of_a_processor(server, window)
            seen = json.loads(clients.stdout.read())
    delays = delays_of(seen["arrivals"], steps, window)
    if time_left := begin - seen["connected_at"]:
        print(f"{given.tails} tails, open {time_left:.1f} s before the first step")
    show(delays, window, given.seconds)
    print(f"the server took {busy:.0%} of a processor meanwhile, the clients {seen['cpu_s'] / given.seconds:.0%}")


def start(server: Server, count: int, begin: float, every_s: float, steps: int) -> list[str]:
    """Runs whose steps end at a pace of their own, one after the other within each `every_s`."""
    again = {"to": "tick", "condition": {"key": "count", "op": "<", "value": steps}}
    graph = {"start_node": "tick", "max_steps": steps + 1, "nodes": {"tick": "tick"}, "edges": {"tick": [again]}}
    graph_id = server.post("/graph/create", graph)["graph_id"]
    states = [{"count": 0, "begin": begin + every_s * number / count, "every_s": every_s} for number in range(count)]
    return [server.post("/graph/run", {"graph_id": graph_id, "initial_state": state})["run_id"] for state in states]


def share_of_a_processor(server: Server, window: tuple[float, float]) -> float:
    time.sleep(max(0.0, window[0] - time.time()))
    before = server.cpu_s()
    time.sleep(max(0.0, window[1] - time.time()))
    return (server.cpu_s() - before) / (window[1] - window[0])


async def listen(port: int) -> None:
    """All clients, each until its run is over; what came is only read when nothing more is to come."""
    run_ids = json.loads(sys.stdin.read())
    connections = [await connect(f"ws://127.0.0.1:{port}/ws/logs/{run_id}") for run_id in run_ids]
    connected_at = time.time()
    cpu_s = time.process_time()
    arrivals = await asyncio.gather(*map(arrivals_at, connections))
    cpu_s = time.process_time() - cpu_s
    print(json.dumps({"connected_at": connected_at, "cpu_s": cpu_s, "arrivals": arrivals}))


async def arrivals_at(connection: Any) -> Arrivals:
    seen: Arrivals = []
    while True:
        try:
            text = await connection.recv()
        except ConnectionClosedOK:
            return seen
        seen.append((time.time(), text))


def delays_of(clients: list[Arrivals], steps: int, window: tuple[float, float]) -> list[tuple[float, float]]:
    """The moment and the delay of each line of a step in the window; all lines must have come, in order."""
    found = []
    for arrivals in clients:
        lines = [json.loads(text) for _, text in arrivals]
        if [line["seq"] for line in lines] != list(range(1, steps + 3)):
            raise SystemExit(f"a client got {len(lines)} lines and not 1..{steps + 2}, once each and in order")
        for (arrived_at, _), line in zip(arrivals, lines, strict=True):
            committed_at = datetime.fromisoformat(line["ts"]).timestamp()
            if line["event"] == "step_completed" and window[0] <= committed_at < window[1]:
                found.append((committed_at, (arrived_at - committed_at) * 1000))
    return found


def show(delays: list[tuple[float, float]], window: tuple[float, float], seconds: int) -> None:
    print(f"{len(delays) / seconds:,.0f} lines/s over {seconds} s")
    parts: list[list[float]] = [[] for _ in range(PARTS)]
    for moment, delay in delays:
        parts[int((moment - window[0]) / (window[1] - window[0]) * PARTS)].append(delay)
    everything = [delay for _, delay in delays]
    for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        of_parts = [percentile(part, share) for part in parts]
        print(
            f"{name}, ms    all {percentile(everything, share):7.1f}"
            f"    of {PARTS} parts: min {min(of_parts):.1f}  max {max(of_parts):.1f}"
        )


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


if __name__ == "__main__":
    main()
