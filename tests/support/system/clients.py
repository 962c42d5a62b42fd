"""Clients that retry while servers are disturbed. What an answer has told them must stay true."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx

from tests.support.system.invariants import query
from tests.support.system.process import Server

Work = Callable[[threading.Event], None]
EVERY_S = 0.05
"""Between two starts of one client, and between two tries of a start."""
PATIENCE_S = (0.2, 1.0, 20.0)
"""How long a client waits for an answer before it does not know."""


@contextmanager
def at_once(*works: Work) -> Iterator[None]:
    """All of them on threads of their own, until the end; what fails in them fails here."""
    ended = threading.Event()
    with ThreadPoolExecutor(len(works)) as threads:
        working = [threads.submit(work, ended) for work in works]
        try:
            yield
        finally:
            ended.set()
    for each in working:
        each.result()


class Starting:
    """A steady stream of starts, each with an Idempotency-Key; one of which nothing is known is tried anew elsewhere.

    Every fourth is not: of those the client never hears.
    """

    def __init__(self, servers: Sequence[Server], graph_id: str, prefix: str) -> None:
        self._servers = servers
        self._graph_id = graph_id
        self._prefix = prefix
        self._chance = random.Random(prefix)
        self.acknowledged: dict[str, str] = {}
        """The run of each key."""
        self.unknown: set[str] = set()

    def work(self, ended: threading.Event) -> None:
        for number in itertools.count():
            if ended.wait(EVERY_S):
                return
            self._start(f"{self._prefix}{number}", 1 if number % 4 == 0 else 1_000)

    def check(self, database: str) -> None:
        """Once all is calm: each acknowledged start is one run, each unknown one none or one."""
        made = dict(query(database, "SELECT tag, count(*) FROM run_tags GROUP BY tag"))
        assert set(made.values()) == {1}
        assert {f"key:{key}" for key in self.acknowledged} <= made.keys()
        ours = {tag.removeprefix("key:") for tag in made if tag.startswith(f"key:{self._prefix}")}
        assert ours <= self.acknowledged.keys() | self.unknown
        for key, run_id in itertools.islice(self.acknowledged.items(), 0, None, 10):
            again = self._servers[0].call("POST", "/graph/run", json=self._body(key), headers={"Idempotency-Key": key})
            assert (again.status_code, again.json()) == (200, {"run_id": run_id})

    def _start(self, key: str, tries: int) -> None:
        for number in range(tries):
            answer = self._ask(self._chance.choice(self._servers), key)
            if answer is not None:
                assert answer.status_code == 202 or (answer.status_code == 200 and number > 0), answer.text
                self.acknowledged[key] = answer.json()["run_id"]
                return
            time.sleep(EVERY_S)
        self.unknown.add(key)

    def _ask(self, server: Server, key: str) -> httpx.Response | None:
        """The answer; None where the client does not know whether the run was started."""
        patience_s = self._chance.choice(PATIENCE_S)
        given: dict[str, Any] = {"json": self._body(key), "headers": {"Idempotency-Key": key}, "timeout": patience_s}
        try:
            answer = server.ask("POST", "/graph/run", **given)
        except httpx.TransportError:
            return None
        return None if answer.status_code == 503 else answer

    def _body(self, key: str) -> dict[str, Any]:
        return {"graph_id": self._graph_id, "initial_state": {"n": 0}, "tags": {"key": key}}


class Reading:
    """Reads what was acknowledged, on any server: 503 or the truth, and never an older one than before."""

    def __init__(self, servers: Sequence[Server], starting: Sequence[Starting]) -> None:
        self._servers = servers
        self._starting = starting
        self._chance = random.Random(20261123)
        self._steps: dict[str, int] = {}
        self.answers = 0

    def work(self, ended: threading.Event) -> None:
        while not ended.wait(0.02):
            run_ids = list(self._chance.choice(self._starting).acknowledged.values())
            if run_ids:
                self._read(self._chance.choice(run_ids[-10:]))

    def _read(self, run_id: str) -> None:
        answer = self._chance.choice(self._servers).ask("GET", f"/graph/state/{run_id}")
        if answer.status_code == 503:
            return
        assert answer.status_code == 200, answer.text
        self.answers += 1
        run = answer.json()
        assert run["state"] == {"n": run["step"]}
        assert run["step"] >= self._steps.get(run_id, 0)
        self._steps[run_id] = run["step"]
        assert [line["seq"] for line in run["logs"]] == list(range(1, run["last_seq"] + 1))
        assert sum(line["event"] == "step_completed" for line in run["logs"]) == run["step"]
        assert (run["status"] == "completed") == any(line["event"] == "run_completed" for line in run["logs"])
