"""What clients were told while servers had faults, to be compared with the database afterwards.

A start, a signal or a cancel that was acknowledged must be there. One whose answer was a 503, or that had no answer at
all, is sent again with the same key until it is acknowledged.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.faults.graphs import GRAPHS
from tests.support.system.process import Server

PAUSE_S = 0.03
"""Between two requests of a client."""
NO_ANSWER = (httpx.HTTPError, OSError)


@dataclass
class Ledger:
    """Every acknowledgement, and every answer that no client should get."""

    runs: dict[str, str] = field(default_factory=dict)
    """The run that each key has started."""
    signalled: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    lines: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """The seq and message of each line that was read, by run."""
    wrong: list[str] = field(default_factory=list)
    """Answers that are a 5xx other than 503, or contradict an earlier answer."""
    refused: int = 0
    """Answers that are a 503."""
    unsettled: int = 0
    """Requests whose last answer is not an acknowledgement."""


class Clients:
    """Threads that start, signal, cancel and read runs until they are told to stop."""

    def __init__(self, servers: Sequence[Server], seed: int) -> None:
        self.ledger = Ledger()
        self._servers = servers
        self._seed = seed
        self._stopping = threading.Event()
        self._closing = threading.Event()
        """Set when all starts are settled: what is left is to signal or cancel the last runs."""
        self._graphs: dict[str, str] = {}
        works = [self._start, self._start, self._signal, self._cancel, self._read]
        self._threads = [
            threading.Thread(target=work, args=(random.Random(f"{seed} {number}"),), daemon=True)
            for number, work in enumerate(works)
        ]

    def begin(self) -> None:
        for name, document in GRAPHS.items():
            self._graphs[name] = self._servers[0].create(document)
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Stop, once each request that is under way is settled."""
        self._stopping.set()
        for thread in self._threads[:2]:
            thread.join()
        self._closing.set()
        for thread in self._threads[2:]:
            thread.join()

    def _start(self, chance: random.Random) -> None:
        while not self._stopping.is_set():
            name = chance.choice(list(GRAPHS))
            key = f"{name} {uuid.UUID(int=chance.getrandbits(128))}"
            body = {"graph_id": self._graphs[name], "initial_state": {"n": 0, "items": [1, 2, 3]}, "tags": {"key": key}}
            answer = self._settle(chance, "POST", "/graph/run", body, {"Idempotency-Key": key})
            if answer is None:
                continue
            run_id = answer.json()["run_id"]
            if self.ledger.runs.setdefault(key, run_id) != run_id:
                self.ledger.wrong.append(f"the key {key} has started two runs")
            if chance.random() < 0.2:
                again = self._settle(chance, "POST", "/graph/run", body, {"Idempotency-Key": key})
                if again is not None and again.json()["run_id"] != run_id:
                    self.ledger.wrong.append(f"the key {key} has started two runs")

    def _signal(self, chance: random.Random) -> None:
        signalled: set[str] = set()
        while not self._closing.is_set() or any(self._to_signal(signalled)):
            for run_id in self._to_signal(signalled):
                key = {"Idempotency-Key": run_id}
                if self._settle(chance, "POST", f"/runs/{run_id}/signals/go", {"by": run_id}, key) is not None:
                    self.ledger.signalled.add(run_id)
                signalled.add(run_id)
            time.sleep(PAUSE_S)

    def _to_signal(self, signalled: set[str]) -> list[str]:
        return self._started("signal", signalled)

    def _started(self, graph: str, without: set[str]) -> list[str]:
        started = list(self.ledger.runs.items())
        return [run_id for key, run_id in started if key.startswith(f"{graph} ") and run_id not in without]

    def _cancel(self, chance: random.Random) -> None:
        tried: set[str] = set()
        while not self._closing.is_set() or any(self._to_cancel(tried)):
            for run_id in self._to_cancel(tried):
                if self._settle(chance, "POST", f"/runs/{run_id}/cancel", None, {}) is not None:
                    self.ledger.cancelled.add(run_id)
                tried.add(run_id)
            time.sleep(PAUSE_S * 10)

    def _to_cancel(self, tried: set[str]) -> list[str]:
        return self._started("endless", tried)

    def _read(self, chance: random.Random) -> None:
        while not self._stopping.is_set():
            if started := list(self.ledger.runs.values()):
                run_id = chance.choice(started[-20:])
                seen = self.ledger.lines.setdefault(run_id, [])
                answer = self._ask(chance, "GET", f"/runs/{run_id}/logs?after_seq={len(seen)}", None, {})
                if answer is not None and answer.status_code == 200:
                    seen += [(line["seq"], line["message"]) for line in answer.json()["items"]]
                elif answer is not None and answer.status_code == 404:
                    self.ledger.wrong.append(f"the run {run_id} was acknowledged and is not there")
            time.sleep(PAUSE_S)

    def _settle(
        self, chance: random.Random, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> httpx.Response | None:
        """The acknowledgement, however often it takes to get one; None where the server refuses for good."""
        end = time.monotonic() + 90
        while time.monotonic() < end:
            answer = self._ask(chance, method, path, body, headers)
            if answer is not None and answer.status_code in (200, 202):
                return answer
            if answer is not None and answer.status_code in (404, 409, 422):
                if answer.status_code != 409:
                    self.ledger.wrong.append(f"{answer.status_code} of {path}: {answer.text}")
                return None
            time.sleep(PAUSE_S * 3)
        self.ledger.unsettled += 1
        return None

    def _ask(
        self, chance: random.Random, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> httpx.Response | None:
        """One answer, or None where there was none."""
        url = chance.choice(self._servers).url + path
        answer = None
        with suppress(*NO_ANSWER):
            given: Any = {"json": body} if body is not None else {}
            answer = httpx.request(method, url, headers=headers, timeout=15, trust_env=False, verify=False, **given)
        if answer is None:
            return None
        if answer.status_code == 503:
            self.ledger.refused += 1
        elif answer.status_code >= 500:
            self.ledger.wrong.append(f"{answer.status_code} of {method} {path}: {answer.text[:300]}")
        return answer
