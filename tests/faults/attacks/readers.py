"""Attacks by large answers, most of them to clients that read slowly."""

from __future__ import annotations

import random
import time
from contextlib import suppress

from tests.faults.attacks.clients import Caller, Target
from tests.faults.attacks.runs import chattered, finished, rewritten
from tests.support.rawsocket import reset


def slow_readers_of_states(target: Target) -> None:
    """40 clients at a time ask for a state of 15 MB and do not read it."""
    run_id = finished(
        target, {"name": "grow", "start_node": "a", "nodes": {"a": {"tool": "grow", "metadata": {"mib": 15}}}}
    )
    paths = [f"/graph/state/{run_id}", f"/runs/{run_id}", f"/runs/{run_id}/state", f"/runs/{run_id}/steps"]
    opened = []
    for number in range(10**9):
        if target.is_over:
            return
        with suppress(OSError):
            raw = target.connect(receive_bytes=2048)
            raw.sendall(target.request("GET", paths[number % len(paths)]))
            opened.append(raw)
        if len(opened) >= 40:
            time.sleep(0.1)
            reset(opened.pop(0))


def readers_of_states(target: Target) -> None:
    """40 clients read it, as fast as they can."""
    run_id = finished(
        target, {"name": "grow", "start_node": "a", "nodes": {"a": {"tool": "grow", "metadata": {"mib": 15}}}}
    )
    paths = [f"/graph/state/{run_id}", f"/runs/{run_id}/state", f"/runs/{run_id}/keys", f"/runs/{run_id}/keys/k3"]
    target.over_and_over(40, lambda caller, chance: caller.call("GET", chance.choice(paths)))


def pages_of_lines(target: Target) -> None:
    """8 pages of 1,000 full lines at once."""
    run_id = chattered(target)
    paths = [f"/runs/{run_id}/logs?limit=1000", f"/graph/state/{run_id}", f"/runs/{run_id}/logs?text=zzz&limit=1000"]
    target.over_and_over(8, lambda caller, chance: caller.call("GET", chance.choice(paths)))


def slow_pages_of_lines(target: Target) -> None:
    """100 clients ask for such pages, and read a few bytes a second."""
    run_id = chattered(target)
    request = target.request("GET", f"/runs/{run_id}/logs?limit=1000")

    def act(_: Caller, __: random.Random) -> None:
        with target.connect(receive_bytes=2048) as raw:
            raw.sendall(request)
            while not target.is_over and raw.recv(1000):
                time.sleep(0.5)

    target.over_and_over(100, act)


def pages_of_steps(target: Target) -> None:
    """Pages of steps that have each written a MiB, and the history of that key."""
    run_id = rewritten(target)
    paths = [
        f"/runs/{run_id}/steps?limit=1000",
        f"/runs/{run_id}/keys/text?limit=1000",
        f"/runs/{run_id}/state?step=60",
    ]
    target.over_and_over(20, lambda caller, chance: caller.call("GET", chance.choice(paths)))


def files_of_the_page(target: Target) -> None:
    """The page, its scripts, the documents, over and over."""
    paths = ["/", "/ui/runs", "/openapi.json", "/docs", "/schema/graph.json", "/ui/static/nothing.js", "/metrics"]
    target.over_and_over(32, lambda caller, chance: caller.call("GET", chance.choice(paths)))


def slow_files_of_the_page(target: Target) -> None:
    """1,000 clients ask for large documents and do not read them."""
    opened = []
    while not target.is_over:
        with suppress(OSError):
            raw = target.connect(receive_bytes=2048)
            raw.sendall(target.request("GET", "/openapi.json") * 10)
            opened.append(raw)
        if len(opened) >= 1000:
            reset(opened.pop(0))
