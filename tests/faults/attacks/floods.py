"""Attacks by very many calls."""

from __future__ import annotations

import random
from urllib.parse import quote

from tests.faults.attacks.clients import Caller, Target

COUNT = {"name": "count", "start_node": "a", "nodes": {"a": "count"}}
WAITS = {"name": "waits", "start_node": "a", "nodes": {"a": {"signal": "go"}}}


def refused_calls(target: Target) -> None:
    """Calls that are 404, 405 or 422."""
    calls = [
        ("GET", "/graph/state/nothing", None),
        ("GET", "/runs/RUNS/of/no/path/at/all", None),
        ("GET", "/runs?limit=0", None),
        ("PATCH", "/runs", None),
        ("POST", "/graph/run", {"graph_id": "g", "initial_sate": {}}),
        ("POST", "/graph/create", {"start_node": "a"}),
        ("POST", "/graph/run", b"{"),
        ("GET", "/" + "a/" * 5000, None),
    ]
    target.over_and_over(32, lambda caller, chance: caller.call(*chance.choice(calls)))


def wrong_tokens(target: Target) -> None:
    """Calls with a wrong token, bearer or cookie."""
    target.token = "wrong"

    def act(caller: Caller, chance: random.Random) -> None:
        caller.call("GET", "/runs", Cookie=f"rungraph_session_{chance.random()}=1.2.3; " + "a=b; " * 1000)

    target.over_and_over(32, act)


def wrong_sessions(target: Target) -> None:
    """Sessions asked for with wrong tokens, 1,000 at a time, some of them of a MB."""
    target.token = None

    def act(caller: Caller, chance: random.Random) -> None:
        caller.call("POST", "/session", {"token": "x" * chance.choice([1, 10, 1_000_000])})

    target.over_and_over(500, act)


def garbage_cursors(target: Target) -> None:
    def act(caller: Caller, chance: random.Random) -> None:
        garbage = quote("".join(chr(chance.randrange(32, 1000)) for _ in range(chance.choice([5, 50, 2000]))))
        path = chance.choice(["/runs?cursor=", "/graphs?cursor=", "/runs?id_prefix=", "/runs?tag=a:", "/runs?graph="])
        caller.call("GET", path + garbage)

    target.over_and_over(32, act)


def expensive_filters(target: Target) -> None:
    """Lists and counts with as many filters as there may be, on a database with many runs."""
    graph_id = target.create(COUNT)
    tags = {f"k{number}": "v" for number in range(20)}
    for number in range(2000):
        target.caller().call("POST", "/graph/run", {"graph_id": graph_id, "tags": tags | {"number": str(number)}})
        if target.is_over:
            return
    filters = "&".join([*(f"tag=k{number}:v" for number in range(10)), *(f"tag=!k{number}:w" for number in range(10))])
    paths = [f"/runs?limit=1000&{filters}&graph=none", f"/runs/counts?{filters}", "/runs?limit=1000&tag=!number:1"]
    target.over_and_over(16, lambda caller, chance: caller.call("GET", chance.choice(paths)))


def idempotency_keys(target: Target) -> None:
    """Starts with keys of 255 characters, some of them used before for another body."""
    graph_id = target.create(COUNT)

    def act(caller: Caller, chance: random.Random) -> None:
        key = f"{chance.randrange(10**6):0255}"
        body = {"graph_id": graph_id, "initial_state": {"n": chance.randrange(3)}}
        caller.call("POST", "/graph/run", body, Idempotency_Key=key)

    target.over_and_over(32, act)


def signals(target: Target) -> None:
    """Signals of 1 MB until the mailbox is full, and beyond, of several runs."""
    document = {
        "name": "mailbox",
        "start_node": "a",
        "nodes": {"a": {"sleep": 100_000}, "b": {"signal": "go"}},
        "edges": {"a": "b"},
    }
    graph_id = target.create(document)
    run_ids = [target.start(graph_id) for _ in range(3)]
    payload = {"text": "p" * 1_000_000}

    def act(caller: Caller, chance: random.Random) -> None:
        run_id = chance.choice(run_ids)
        caller.call("POST", f"/runs/{run_id}/signals/go", chance.choice([payload, 1]))
        caller.call("GET", f"/runs/{run_id}/signals?limit=1000" if chance.random() < 0.1 else f"/runs/{run_id}/signals")

    target.over_and_over(16, act)


def actions(target: Target) -> None:
    """Actions on a thousand runs at a time."""
    graph_id = target.create(WAITS)

    def act(caller: Caller, chance: random.Random) -> None:
        if chance.random() < 0.8:
            caller.call("POST", "/graph/run", {"graph_id": graph_id})
            return
        where = {"graph_id": graph_id, "status": ["waiting", "paused", "queued"]}
        action = chance.choice(["cancel", "pause", "resume"])
        caller.call("POST", "/runs/actions", {"action": action, "where": where, "limit": 1000})

    target.over_and_over(16, act)
