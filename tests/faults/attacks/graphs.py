"""Attacks by graphs: what they cost to check, to store and to evaluate."""

from __future__ import annotations

import random
from typing import Any

from tests.faults.attacks.clients import Caller, Target

ENDLESS = 10**9


def misspelt_names(target: Target) -> None:
    """Graphs of 1 MB whose edges all lead to names that no node has, each of which wants its closest match."""
    nodes = {f"a node of some length with the number {number}": "count" for number in range(4000)}
    edges = {name: f"{name} misspelt" for name in nodes}
    document = {"name": "misspelt", "start_node": "nowhere", "nodes": nodes, "edges": edges}
    target.over_and_over(8, lambda caller, _: caller.call("POST", "/graph/create", document))


def unknown_fields(target: Target) -> None:
    """Graphs with a fault in each of 10,000 places."""
    nodes = {f"n{number}": {"tol": "count", "retyr": 3, "sleep": "x"} for number in range(10_000)}
    document = {"name": "faults", "start_node": "n0", "nodes": nodes}
    target.over_and_over(8, lambda caller, _: caller.call("POST", "/graph/create", document))


def many_graphs(target: Target) -> None:
    """Different graphs of 800 KB without end, each of which is started."""

    def act(caller: Caller, chance: random.Random) -> None:
        nodes = {f"{chance.random()} {number}": "count" for number in range(20_000)}
        nodes["a"] = "count"
        status, _ = caller.call("POST", "/graph/create", {"name": "large", "start_node": "a", "nodes": nodes})
        if status < 300:
            caller.call("POST", "/graph/run", {"graph": "large", "initial_state": {}})

    target.over_and_over(8, act)


def long_names(target: Target) -> None:
    """Names, tags and metadata as long as they may be, in runs that loop."""
    name = "n" * 1000
    document = {
        "name": "g" * 1000,
        "start_node": name,
        "nodes": {name: {"tool": "count", "metadata": {"m": "m" * 500_000}}},
        "edges": {name: {"to": name, "condition": {"key": "n", "op": "<", "value": 200}}},
    }
    graph_id = target.create(document)
    tags = {f"{number:03}" + "k" * 197: "v" * 2000 for number in range(100)}

    def act(caller: Caller, chance: random.Random) -> None:
        caller.call("POST", "/graph/run", {"graph_id": graph_id, "initial_state": {"n": 0}, "tags": tags})
        caller.call("GET", chance.choice(["/runs?limit=1000", "/runs/counts", "/graphs?limit=1000"]))

    target.over_and_over(8, act)


def compared_arrays(target: Target) -> None:
    """Runs that compare an array of 30,000 elements with another 500 times at each step."""
    array = list(range(30_000))
    compare = {"key": "b", "op": "==", "value_from": "a"}
    member = {"key": "a", "op": "in", "value_from": "c"}
    condition = {"any": [{"not": compare}, member] * 250}
    _loop(target, condition, {"n": 0, "a": array, "b": [*array[:-1], -1], "c": [array[:-1], array[1:]]})


def many_comparisons(target: Target) -> None:
    """Runs whose edges compare 10,000 times at each step."""
    small = {"key": "n", "op": "==", "value": -1}
    _loop(target, {"any": [{"any": [small] * 100}] * 100}, {"n": 0})


def searched_texts(target: Target) -> None:
    """Runs that seek a long text in a longer one."""
    find = {"key": "a", "op": "contains", "value_from": "b"}
    _loop(target, {"any": [find] * 200}, {"n": 0, "a": "a" * 400_000, "b": "a" * 200_000 + "b"})


def _loop(target: Target, condition: dict[str, Any], state: dict[str, Any]) -> None:
    edges = {"a": [{"to": None, "condition": condition}, {"to": "a"}]}
    document = {"name": "compares", "start_node": "a", "nodes": {"a": "count"}, "edges": edges, "max_steps": ENDLESS}
    graph_id = target.create(document)
    for _ in range(10):
        target.start(graph_id, **state)

    def act(caller: Caller, _: random.Random) -> None:
        caller.call("POST", f"/graph/{graph_id}/backtest", {"runs": {"graph_id": graph_id, "limit": 1000}})

    target.over_and_over(2, act)
