"""What attacks are made of: connections, calls over and over on threads, and a count of the answers."""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

TOKEN = "the token of the server"
NO_ANSWER = (OSError, http.client.HTTPException)


@dataclass
class Target:
    """A server to attack, for `seconds`."""

    port: int
    seconds: float
    token: str | None = None
    answers: Counter[int] = field(default_factory=Counter)
    """How often each status was answered; 0: no answer came."""
    wrong: Counter[str] = field(default_factory=Counter)
    """Answers with a 5xx other than 503."""

    def __post_init__(self) -> None:
        self.end = time.monotonic() + self.seconds

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.end

    def caller(self) -> Caller:
        return Caller(self)

    def connect(self, *, timeout_s: float = 5, receive_bytes: int | None = None) -> socket.socket:
        raw = socket.socket()
        if receive_bytes is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        raw.settimeout(timeout_s)
        raw.connect(("127.0.0.1", self.port))
        return raw

    def request(self, method: str, path: str, *lines: str) -> bytes:
        """Return the head of a request."""
        headers = ["Host: localhost", *([] if self.token is None else [f"Authorization: Bearer {self.token}"]), *lines]
        return "\r\n".join([f"{method} {path} HTTP/1.1", *headers, "", ""]).encode()

    def create(self, document: dict[str, Any]) -> str:
        return str(self.caller().json("POST", "/graph/create", document)["graph_id"])

    def start(self, graph_id: str, **state: Any) -> str:
        body = {"graph_id": graph_id, "initial_state": state}
        return str(self.caller().json("POST", "/graph/run", body)["run_id"])

    def over_and_over(self, threads: int, act: Callable[[Caller, random.Random], object]) -> None:
        """Call `act` on each of `threads` threads until the time is over. A broken connection is made anew."""

        def work(number: int) -> None:
            chance, caller = random.Random(number), self.caller()
            while not self.is_over:
                try:
                    act(caller, chance)
                except NO_ANSWER:
                    self.answers[0] += 1
                    caller.close()
                    time.sleep(0.02)
            caller.close()

        workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(max(0.0, self.end + 60 - time.monotonic()))


class Caller:
    """One connection for many calls."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._connection: http.client.HTTPConnection | None = None

    def call(
        self, method: str, path: str, body: object = None, *, timeout_s: float = 60, **headers: str
    ) -> tuple[int, bytes]:
        """Return the status and the body of an answer; JSON is made of `body` unless it is bytes."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._target.port, timeout=timeout_s)
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        known = {} if self._target.token is None else {"Authorization": f"Bearer {self._target.token}"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, sent, known | named)
        answer = self._connection.getresponse()
        content = answer.read()
        self._target.answers[answer.status] += 1
        if answer.status >= 500 and answer.status != 503:
            self._target.wrong[f"{answer.status} of {method} {path[:80]}: {content[:200]!r}"] += 1
        if answer.getheader("connection", "").lower() == "close":
            self.close()
        return answer.status, content

    def json(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """Return what a call answers; it is made again while the answer is a 503."""
        for _ in range(200):
            with suppress(*NO_ANSWER):
                status, content = self.call(method, path, body, timeout_s=60, **headers)
                if status < 300:
                    return json.loads(content)
                assert status == 503, content[:500]
            self.close()
            time.sleep(0.1)
        raise AssertionError(f"{method} {path} was not answered")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class GoodClient:
    """Starts a run every `every_s`, and insists on an answer."""

    def __init__(self, target: Target, graph_id: str, every_s: float = 0.2) -> None:
        self._target, self._graph_id, self._every_s = target, graph_id, every_s
        self.asked = self.answered = self.put_off = 0
        self.slowest_s = 0.0
        self.run_ids: list[str] = []

    def work(self, ended: threading.Event) -> None:
        while not ended.wait(self._every_s):
            self.ask()

    def ask(self, within_s: float = 60) -> None:
        """Start a run, with the same key until that is acknowledged. The time counts from the first try."""
        self.asked += 1
        key, began = str(uuid.uuid4()), time.monotonic()
        while time.monotonic() < began + within_s:
            status, run_id = self._try(key)
            if run_id is not None:
                self.run_ids.append(run_id)
                self.answered += 1
                break
            self.put_off += status == 503
            time.sleep(0.1)
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def _try(self, key: str) -> tuple[int, str | None]:
        caller = self._target.caller()
        body = {"graph_id": self._graph_id, "initial_state": {"n": 0}}
        with suppress(*NO_ANSWER):
            status, content = caller.call("POST", "/graph/run", body, timeout_s=30, Idempotency_Key=key)
            caller.close()
            return status, json.loads(content)["run_id"] if status in (200, 202) else None
        return 0, None
