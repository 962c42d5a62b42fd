"""Attacks by the states of runs: how much of them is stored, copied and held."""

from __future__ import annotations

import random
import time

from tests.faults.attacks.clients import Caller, Target
from tests.faults.attacks.runs import rewritten

ENDLESS = 10**9
TEXT = "t" * 900_000


def copied_inputs(target: Target) -> None:
    """Parents that each start 10,000 children with an input of 0.9 MB."""
    child = target.create({"name": "child", "start_node": "a", "nodes": {"a": "count"}})
    node = {"graph": child, "for_each": "items", "into": "o", "input": ["text"]}
    parent = target.create({"name": "parent", "start_node": "a", "nodes": {"a": node}})
    for _ in range(3):
        target.start(parent, items=list(range(10_000)), text=TEXT)
    target.over_and_over(2, lambda caller, _: caller.call("GET", "/runs?limit=1000"))


def joined_states(target: Target) -> None:
    """Parents whose 10,000 children each end with 0.9 MB, which are to be joined in one array."""
    child = target.create({"name": "child", "start_node": "a", "nodes": {"a": "rewrite"}})
    node = {"graph": child, "for_each": "items", "into": "o", "max_parallel": 50}
    parent = target.create({"name": "parent", "start_node": "a", "nodes": {"a": node}})
    for _ in range(2):
        target.start(parent, items=list(range(300)))
    target.over_and_over(2, lambda caller, _: caller.call("GET", "/runs?limit=1000"))


def large_active_runs(target: Target) -> None:
    """1,000 runs with a state of 0.9 MB each that are all executed at once."""
    _start_endless(target, {"tool": "count_slowly"}, 1000, {"n": 0, "text": TEXT})


def sleeping_calls(target: Target) -> None:
    """1,000 of them whose tools wait."""
    _start_endless(target, {"tool": "sleep_long"}, 1000, {"n": 0, "text": TEXT})


def growing_runs(target: Target) -> None:
    """60 runs that grow to 15 MB, one after the other, and go on."""
    node = {"tool": "grow", "metadata": {"mib": 15}}
    document = {"name": "endless", "start_node": "a", "nodes": {"a": node}, "edges": {"a": "a"}, "max_steps": ENDLESS}
    graph_id, started = target.create(document), 0

    def act(caller: Caller, _chance: random.Random) -> None:
        nonlocal started
        if started < 60:
            started += 1
            caller.call("POST", "/graph/run", {"graph_id": graph_id, "initial_state": {"n": 0}})
        time.sleep(0.3)
        caller.call("GET", "/runs?limit=1000")

    target.over_and_over(1, act)


def rewriting_runs(target: Target) -> None:
    """100 runs that write a MiB at each step."""
    _start_endless(target, {"tool": "rewrite"}, 100, {"n": 0})


def backtests(target: Target) -> None:
    """Backtests of runs whose steps have each written a MiB."""
    rewritten(target)
    edges = {"a": {"to": "a", "condition": {"key": "text", "op": "==", "value_from": "text"}}}
    other = target.create({"name": "other", "start_node": "a", "nodes": {"a": "rewrite"}, "edges": edges})
    run = target.caller().json("GET", "/runs?limit=1")["items"][0]
    body = {"runs": {"graph_id": run["graph_id"], "limit": 1000}}
    target.over_and_over(8, lambda caller, _: caller.call("POST", f"/graph/{other}/backtest", body))


def forks_and_patches(target: Target) -> None:
    """Forks of a run of 15 MB, patched."""
    grow = {"tool": "grow", "metadata": {"mib": 15}}
    graph_id = target.create(
        {"name": "grow", "start_node": "a", "nodes": {"a": grow, "b": {"signal": "go"}}, "edges": {"a": "b"}}
    )
    run_id = target.start(graph_id)
    patch = {"patch": {"k1": TEXT, "more": None}}

    def act(caller: Caller, _: random.Random) -> None:
        caller.call("POST", f"/runs/{run_id}/fork", patch)

    target.over_and_over(16, act)


def _start_endless(target: Target, node: dict[str, object], count: int, state: dict[str, object]) -> None:
    document = {"name": "endless", "start_node": "a", "nodes": {"a": node}, "edges": {"a": "a"}, "max_steps": ENDLESS}
    graph_id = target.create(document)
    left = [None] * count

    def act(caller: Caller, _: random.Random) -> None:
        if left:
            left.pop()
            caller.call("POST", "/graph/run", {"graph_id": graph_id, "initial_state": state})
        else:
            caller.call("GET", "/runs?limit=1000")

    target.over_and_over(4, act)
