"""Attacks by schedules, limits, webhooks and deletions."""

from __future__ import annotations

import random
import socket
import threading
from contextlib import suppress

from tests.faults.attacks.clients import Caller, Target

COUNT = {"name": "count", "start_node": "a", "nodes": {"a": "count"}}


def schedules(target: Target) -> None:
    """Thousands of schedules that tick ten times a second, or whose cron expression never comes true."""
    graph_id = target.create(COUNT)

    def act(caller: Caller, chance: random.Random) -> None:
        number = chance.randrange(3000)
        when = {"cron": "0 0 30 2 *"} if number % 3 == 0 else {"every_s": 0.1, "overlap": "start", "catch_up": "all"}
        caller.call("PUT", f"/schedules/s{number}", {"graph_id": graph_id, **when})
        if chance.random() < 0.1:
            caller.call("GET", "/schedules?limit=1000")

    target.over_and_over(8, act)


def limits(target: Target) -> None:
    """Thousands of limits, changed all the time, with runs that wait at one of them."""
    document = {"name": "limited", "start_node": "a", "nodes": {"a": {"tool": "count_slowly", "limit": "l1"}}}
    graph_id = target.create(document)

    def act(caller: Caller, chance: random.Random) -> None:
        number = chance.choice([1, chance.randrange(5000)])
        caller.call("PUT", f"/limits/l{number}", {"max": chance.choice([1, 10**9])})
        caller.call(
            "POST",
            "/graph/run",
            {"graph_id": graph_id, "initial_state": {"n": 0}, "priority": chance.randrange(-100, 100)},
        )
        if chance.random() < 0.1:
            caller.call("GET", "/limits")

    target.over_and_over(8, act)


def slow_receivers(target: Target) -> None:
    """Webhooks to a receiver that answers a byte now and then, and never ends."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        threading.Thread(target=_answer_slowly, args=(listener, target), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        graph_id = target.create(COUNT)
        body = {"graph_id": graph_id, "notify": {"url": url}}
        target.over_and_over(8, lambda caller, _: caller.call("POST", "/graph/run", body))


def _answer_slowly(listener: socket.socket, target: Target) -> None:
    opened: list[socket.socket] = []
    listener.settimeout(0.5)
    while not target.is_over:
        with suppress(OSError):
            opened.append(listener.accept()[0])
        for number, raw in enumerate(opened[-50:]):
            try:
                raw.send(b"HTTP/1.1 200 OK\r\nA: " if number % 2 else b"x" * 100_000)
            except OSError:
                continue


def deletions(target: Target) -> None:
    """Runs that are deleted while others start, and prunes of all."""
    graph_id = target.create(COUNT)

    def act(caller: Caller, _chance: random.Random) -> None:
        for _ in range(20):
            caller.call("POST", "/graph/run", {"graph_id": graph_id})
        items = caller.json("GET", "/runs?status=completed&limit=20")["items"]
        for item in items:
            caller.call("DELETE", f"/runs/{item['run_id']}")

    target.over_and_over(8, act)
