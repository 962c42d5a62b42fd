"""Measure what a call on a cluster costs and gains: a `for_each` over elements of real work, on workers and in a loop.

    python benchmarks/cluster.py [--elements 200] [--work 0.2] [--workers 1 2]
    python benchmarks/cluster.py campaign [--runs 300] [--every 4]       workers, scheduler and server are killed
    python benchmarks/cluster.py quality                                 the example over the twelve months of flights

`campaign` prints what it has checked: each run completes with each step once and each line once, and nothing is left
in the cluster. All processes are started here and end with the benchmark.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.flights import fetch_flights
from tests.support.engine.cluster import Dask, dask
from tests.support.system.process import Server, serving, until

TOOLS = '''
import os, time
from service import tool

@tool
def work(state, metadata, context):
    """Real work of `s` seconds of processor time."""
    end = time.process_time() + metadata["s"]
    number = 0
    while time.process_time() < end:
        number += 1
    for line in range(metadata.get("lines", 0)):
        context.log(f"{context.attempt}-{line}")
    return {"done": state.get("item", state.get("done", 0)) if "item" in state else state.get("done", 0) + 1}

@tool
def copy_month(state, context):
    # Put the rows of one month into the folder of the run, as an upload would be.
    import shutil
    from service.example import initial_state
    shutil.copy(os.path.join(state["tables"], f"{state['item']}.csv"), context.folder / "upload.csv")
    return initial_state({"kind": "csv", "file": "upload.csv"}, 0)
'''
FLIGHTS = ("profile", "detect", "generate", "apply")


def node(place: str, **metadata: Any) -> dict[str, Any]:
    return {"tool": "work", "metadata": metadata, **({"on": "cluster"} if place == "cluster" else {})}


def single(place: str, **metadata: Any) -> dict[str, Any]:
    return {"start_node": "a", "nodes": {"a": node(place, **metadata)}}


def spread(child: str) -> dict[str, Any]:
    return {"start_node": "m", "nodes": {"m": {"graph": child, "for_each": "items", "into": "made"}}}


class World:
    """A cluster and a server that uses it."""

    def __init__(self, stack: ExitStack, workers: int) -> None:
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rungraph-")))
        (self.folder / "tools.py").write_text(TOOLS)
        self.dask: Dask = stack.enter_context(dask(self.folder))
        for number in range(workers):
            self.dask.start_worker(f"w{number}", "--nthreads", "1")
        self.server: Server = stack.enter_context(self.serving())

    def serving(self) -> Any:
        settings = {"RUNGRAPH_CLUSTER": self.dask.address, "RUNGRAPH_LEASE_SECONDS": "2"}
        return serving(self.folder, tools=[self.folder / "tools.py"], **settings)

    def warm(self, workers: int) -> None:
        """Have each worker start a process and load the tools."""
        self.follow(
            self.server.run(
                self.server.create(spread(self.server.create(single("cluster", s=0.5)))), items=[*range(2 * workers)]
            )
        )

    def follow(self, run_id: str) -> dict[str, Any]:
        """Return the run once it has ended, however long that takes."""

        def has_ended() -> bool:
            return self.server.call("GET", f"/runs/{run_id}").json()["finished_at"] is not None

        until(has_ended, within_s=float("inf"), every_s=0.02)
        return self.server.follow(run_id)


def measure(elements: int, work_s: float, workers: list[int]) -> None:
    """Print the time of a `for_each` on so many workers, and of the plain loop."""
    started = time.monotonic()
    for _ in range(elements):
        end = time.process_time() + work_s
        while time.process_time() < end:
            pass
    loop_s = time.monotonic() - started
    print(f"plain loop: {elements} elements of {work_s:g} s in {loop_s:.1f} s")
    for count in workers:
        with ExitStack() as stack:
            world = World(stack, count)
            world.warm(count)
            graph = world.server.create(spread(world.server.create(single("cluster", s=work_s))))
            started = time.monotonic()
            made = world.follow(world.server.run(graph, items=[*range(elements)]))["state"]["made"]
            took_s = time.monotonic() - started
            assert [each["done"] for each in made] == [*range(elements)], "the results are not in order"
            print(f"{count} workers: {took_s:.1f} s, {loop_s / took_s:.2f} times the loop's speed, results in order")
            if count == workers[0]:
                print_overhead(world)


def print_overhead(world: World) -> None:
    """Print what one call costs in a chain of calls that do nothing, in the server and on the cluster."""
    for place in ("server", "cluster"):
        nodes = {"a": {**node(place, s=0.0), "max_visits": 200}}
        graph = world.server.create({"start_node": "a", "nodes": nodes, "edges": {"a": "a"}, "max_steps": 200})
        started = time.monotonic()
        world.server.follow(world.server.run(graph), until=["paused"])
        print(f"a step that does nothing, in the {place}: {(time.monotonic() - started) * 5:.1f} ms")


def campaign(runs: int, every_s: float) -> None:
    """Kill workers at random, and once the scheduler and the server, while runs are made; then check all of them."""
    with ExitStack() as stack:
        world = World(stack, 3)
        nodes = {name: node("cluster", s=0.1, lines=5) for name in "abc"}
        document = {"start_node": "a", "nodes": nodes, "edges": {"a": "b", "b": "c"}}
        graph = world.server.create(document)
        ids = [world.server.run(graph) for _ in range(runs)]
        kills = 0
        killed_at = time.monotonic()
        while unfinished(world.server):
            time.sleep(0.25)
            if time.monotonic() - killed_at < every_s:
                continue
            killed_at, kills = time.monotonic(), kills + 1
            break_something(world, kills)
        lost = check(world.server, ids)
        print(f"{runs} runs completed, each step and each line once; {kills} kills, {lost} attempts lost their worker")
        print(f"left in the cluster: {left(world.dask.address)}")


def break_something(world: World, kills: int) -> None:
    if kills == 3:
        world.dask.kill_scheduler()
        world.dask.start_scheduler()
        for name in list(world.dask.workers):
            world.dask.kill_worker(name)
            world.dask.start_worker(f"{name}s", "--nthreads", "1")
    elif kills == 6:
        world.server.kill()
        world.server.start()
    else:
        name = random.choice(list(world.dask.workers))
        world.dask.kill_worker(name)
        world.dask.start_worker(f"w{kills + 100}", "--nthreads", "1")


def unfinished(server: Server) -> bool:
    counts = server.call("GET", "/runs/counts").json()["counts"]
    return any(counts.get(status) for status in ("queued", "running", "waiting"))


def check(server: Server, ids: list[str]) -> int:
    """Check that each run has completed with each step and each line once. Return how many attempts lost a worker."""
    lost = 0
    for run_id in ids:
        run = server.call("GET", f"/runs/{run_id}").json()
        assert (run["status"], run["step"], run["state"]) == ("completed", 3, {"done": 3}), run
        steps = server.call("GET", f"/runs/{run_id}/steps").json()["items"]
        errors = [attempt["error"] for step in steps for attempt in step["attempts"] if attempt["error"]]
        lost += sum(error["type"] == "worker_lost" for error in errors)
        lines = server.call("GET", f"/runs/{run_id}/logs").json()["items"]
        assert [line["seq"] for line in lines] == [*range(1, run["last_seq"] + 1)]
        assert [step["step"] for step in steps] == [1, 2, 3]
        for step in steps:
            for tried in step["attempts"]:
                place = (step["step"], tried["attempt"])
                said = [
                    line["message"]
                    for line in lines
                    if (line["step"], line["attempt"]) == place and line["event"] == "log"
                ]
                of_tool = [message for message in said if not message.startswith(("called on", "waits for"))]
                # An attempt that was lost has the first lines that its tool has written.
                count = len(of_tool) if tried["error"] else 5
                assert of_tool == [f"{tried['attempt']}-{number}" for number in range(count)], of_tool
    return lost


def left(address: str) -> dict[str, int]:
    """Return how many calls the scheduler still has, and how many the workers still make."""
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        tasks: int = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
        executing = client.run(lambda dask_worker: len(dask_worker.state.executing))
        return {"tasks": tasks, "executing": sum(executing.values())}


def quality(count: int) -> None:
    """Run the example's heavy nodes on the cluster for each month of the flights, and compare the files."""
    with ExitStack() as stack:
        world = World(stack, 2)
        months = split_flights(world.folder)[:count]
        files = {}
        for place in ("server", "cluster"):
            child = world.server.create(example(place))
            state = {"items": months, "tables": str(world.folder)}
            node = {"graph": child, "for_each": "items", "into": "made", "input": ["tables"]}
            started = time.monotonic()
            parent = world.server.run(world.server.create({"start_node": "m", "nodes": {"m": node}}), **state)
            ended = world.follow(parent)
            assert ended["status"] == "completed", ended["error"]
            print(f"{len(months)} months in the {place}: {time.monotonic() - started:.1f} s")
            files[place] = {
                (month, name): digest
                for month, run_id in children(world.server, parent).items()
                for name, digest in digests(world.server, run_id).items()
            }
        here, there = files["server"], files["cluster"]
        differing = sorted(key for key in here.keys() | there.keys() if here.get(key) != there.get(key))
        assert not differing, f"these files differ: {differing}"
        print(f"the same {len(here)} files, to the byte")


def example(place: str) -> dict[str, Any]:
    from service.example import GRAPH

    nodes = {
        name: dict(found) if isinstance(found, dict) else {"tool": found} for name, found in GRAPH["nodes"].items()
    }
    if place == "cluster":
        nodes = {name: {**found, "on": "cluster"} if name in FLIGHTS else found for name, found in nodes.items()}
    nodes["copy"] = {"tool": "copy_month"}
    return {"start_node": "copy", "nodes": nodes, "edges": {"copy": GRAPH["start_node"], **GRAPH["edges"]}}


def split_flights(folder: Path) -> list[str]:
    """Write a table for each month of the flights. Return the months."""
    rows = list(csv.reader(io.StringIO(fetch_flights(folder).decode())))
    months: dict[str, list[list[str]]] = {}
    for row in rows[1:]:
        months.setdefault(row[rows[0].index("month")], []).append(row)
    for month, found in months.items():
        with (folder / f"{month}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([rows[0], *found])
    return list(months)


def children(server: Server, parent: str) -> dict[str, str]:
    """Return the children of the run by their months."""
    items = server.call("GET", f"/runs?parent_id={parent}&limit=100").json()["items"]
    ids = [item["run_id"] for item in items]
    return {server.call("GET", f"/runs/{run_id}").json()["state"]["item"]: run_id for run_id in ids}


def digests(server: Server, run_id: str) -> dict[str, str]:
    names = [item["name"] for item in server.call("GET", f"/runs/{run_id}/files").json()["items"]]
    contents = {name: server.call("GET", f"/runs/{run_id}/files/{name}").content for name in names}
    return {name: hashlib.sha256(comparable(name, content)).hexdigest() for name, content in contents.items()}


def comparable(name: str, content: bytes) -> bytes:
    """Return the content as it is; rows of CSV files are compared as a person reads them."""
    if name.endswith(".csv"):
        return repr(list(csv.reader(io.StringIO(content.decode())))).encode()
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="measure", choices=["measure", "campaign", "quality"])
    parser.add_argument("--elements", type=int, default=200)
    parser.add_argument("--work", type=float, default=0.2)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--every", type=float, default=4.0)
    parser.add_argument("--months", type=int, default=12)
    given = parser.parse_args()
    match given.what:
        case "measure":
            measure(given.elements, given.work, given.workers)
        case "campaign":
            campaign(given.runs, given.every)
        case _:
            quality(given.months)


if __name__ == "__main__":
    main()
