"""The application on a real socket over a real store, for the tests of this folder.

There is no engine: a test drives a run by the store's own commands, so that it says when a step is committed.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import uvicorn
from fastapi import FastAPI

from service.api import ApiSettings, Example, Services, Stop, create_api
from service.api.connections import HttpProtocol
from service.core import codec
from service.core.after import after
from service.core.moves import CallTool, Failed, Outcome, Succeeded
from service.core.next_move import next_move
from service.core.run import Event, Line, Run
from service.core.tool import JsonObject, Tool
from service.core.validation import read_graph
from service.store import Store
from service.store.database.opening import database_at
from service.store.database.protocol import Database
from service.store.rows.records import Lease
from tests.support.migrated import bring_up

T = TypeVar("T")

STATE_BYTES_MAX = 16 * 2**20


def add(state: JsonObject) -> None:
    """Count up."""
    state["n"] += 1


TOOLS = {"add": Tool.of(add)}

COUNT = {
    "name": "count",
    "start_node": "a",
    "nodes": {"a": "add"},
    "edges": {"a": {"to": "a", "condition": {"key": "n", "op": "<", "value_from": "until"}}},
}

EXAMPLE = Example(
    graph=read_graph({"name": "example", "start_node": "a", "nodes": {"a": "add"}}, TOOLS),
    datasets=("planes", "flights"),
    initial_state=lambda source, threshold, asked: {"source": source, "threshold": threshold} | asked,
    faults=lambda asked: [
        (name, "no such thing") for name, value in {**asked, **asked.get("options", {})}.items() if value == "wrong"
    ],
)


@dataclass
class Driven:
    """A run that this test holds the lease of."""

    store: Store
    lease: Lease
    run: Run

    def log(self, *messages: str, data: str = "{}") -> None:
        lines = [
            Line(Event.LOG, message, node="a", step=self.run.step + 1, attempt=1, data=data) for message in messages
        ]
        assert self.store.logs.append(self.lease, lines).result(60)

    def step(self, **changes: Any) -> None:
        """Commit the next step, which counts `n` up and sets `changes`."""
        given = self.run.state.to_object()
        left = {**given, "n": given["n"] + 1, **changes}
        self._commit(Succeeded(self.run.state.changes_to(left, given, STATE_BYTES_MAX)))

    def fail(self, message: str) -> None:
        self._commit(Failed("tool_error", message))

    def finish(self) -> None:
        while self.run.status == "running":
            self.step()

    def _commit(self, outcome: Outcome) -> None:
        move = next_move(self.run)
        assert isinstance(move, CallTool)
        now = time.monotonic()
        transition = after(self.run, move, outcome, STATE_BYTES_MAX)
        self.run = asyncio.run(self.store.steps.commit(self.lease, transition, started=now, finished=now))


@dataclass
class Server:
    """A server as its clients see it, and what a test needs to look behind it."""

    app: FastAPI
    database: Database
    port: int
    loop: asyncio.AbstractEventLoop
    uvicorn: uvicorn.Server
    reason: list[str] = field(default_factory=list)
    """Why it is not ready, if there is a reason."""

    @property
    def services(self) -> Services:
        found: Services = self.app.state.services
        return found

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def runs_folder(self) -> Path:
        return self.services.runs_folder

    def client(self, **options: Any) -> httpx.Client:
        # Certificates take longer to load than most answers take.
        given: dict[str, Any] = {"base_url": self.url, "timeout": 60, "trust_env": False, "verify": False, **options}
        return httpx.Client(**given)

    def do(self, command: Coroutine[Any, Any, T]) -> T:
        """Await `command` where the server's own code runs."""
        return asyncio.run_coroutine_threadsafe(command, self.loop).result(60)

    def start(self, client: httpx.Client, graph: Any = COUNT, **state: Any) -> str:
        graph_id = client.post("/graph/create", json=graph).json()["graph_id"]
        body = {"graph_id": graph_id, "initial_state": {"n": 0, "until": 1, **state}}
        answer = client.post("/graph/run", json=body)
        assert answer.status_code == 202, answer.text
        run_id: str = answer.json()["run_id"]
        return run_id

    def drive(self, run_id: str) -> Driven:
        """Claim `run_id`, and with it whatever else waits."""
        store = self.services.store
        claimed = asyncio.run(store.leases.claim(1000))
        return next(Driven(store, each.lease, each.run) for each in claimed if each.run.id == run_id)

    def stop_as_a_signal_does(self) -> None:
        """What `main` does on SIGTERM: the stop at once, then uvicorn's own shutdown."""
        self.services.stop.set()
        self.uvicorn.should_exit = True

    def tables(self) -> dict[str, list[Any]]:
        """Every row of every table."""
        with sqlite3.connect(self.database.name) as connection:
            names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            rows = {name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in names}
        connection.close()
        return rows


@contextmanager
def serving(
    folder: Path,
    settings: ApiSettings | None = None,
    *,
    within: Callable[[FastAPI], Any] | None = None,
    **options: Any,
) -> Iterator[Server]:
    """A server on a free port, over a database in `folder`; gone when this is left.

    `within` makes the application that ours is a part of; `options` are uvicorn's.
    """
    database = database_at(f"sqlite:///{folder / 'rungraph.db'}")
    bring_up(database)
    made: list[Server] = []
    reason: list[str] = []
    open_now = threading.Event()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        store = Store(database, server_id="server", address="test", lease_s=600)
        store.open()

        async def ready() -> str | None:
            return next(iter(reason), None)

        app.state.services = Services(store, TOOLS, EXAMPLE, folder / "runs", ready, Stop())
        made.append(Server(app, database, 0, asyncio.get_running_loop(), server, reason))
        try:
            yield
        finally:
            await store.close()

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            open_now.set()

    app = create_api(settings or ApiSettings(), lifespan)
    whole = app if within is None else within(app)
    common = {"host": "127.0.0.1", "port": 0, "log_level": "warning", "lifespan": "on", "http": HttpProtocol}
    server = Announcing(uvicorn.Config(whole, **{**common, **options}))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert open_now.wait(60)
        found = made[0]
        found.port = server.servers[0].sockets[0].getsockname()[1]
        yield found
    finally:
        server.should_exit = True
        if made:
            made[0].services.stop.set()
        thread.join(60)
        assert not thread.is_alive()


def eventually(question: Callable[[], T], within_s: float = 60.0) -> T:
    """The first answer of `question` that is true; what is asked for happens elsewhere, soon."""
    deadline = time.monotonic() + within_s
    while not (answer := question()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return answer


def deep(levels: int) -> Any:
    """A JSON object that nests `levels` deep."""
    value: Any = {}
    for _ in range(levels - 1):
        value = {"k": value}
    return value


def text(value: Any) -> bytes:
    return codec.encode(value).encode()


def no_lifespan(_app: FastAPI) -> AbstractAsyncContextManager[None]:
    return nullcontext()
