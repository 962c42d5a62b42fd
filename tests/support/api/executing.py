"""A server with a real engine, and the tools whose runs the tests of control steer."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from service.api import ApiSettings
from service.core.tool import Context, JsonObject, Tool
from service.engine.engine import Engine, EngineSettings
from tests.support.api.harness import STATE_BYTES_MAX, Server, eventually, serving

UNKNOWN = "0190b0a4-2c6f-7abc-8def-0123456789ab"


@dataclass
class Gate:
    """Where a tool stands until a test lets it go on."""

    entered: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Call:
    node: str
    step: int
    attempt: int
    key: str


GATES: dict[str, Gate] = defaultdict(Gate)
"""By the name that a run's state has for its own."""
CALLS: dict[str, list[Call]] = defaultdict(list)
"""Of each run's tools that note them."""
MENDED: set[str] = set()
"""Runs whose `risky` calls fail no more."""


def add(state: JsonObject) -> None:
    state["n"] = state.get("n", 0) + 1


def gated(state: JsonObject) -> JsonObject:
    gate = GATES[state["gate"]]
    gate.entered.set()
    assert gate.opened.wait(60)
    return {"passed": True}


def risky(state: JsonObject, context: Context) -> JsonObject:
    CALLS[context.run_id].append(Call(context.node, context.step, context.attempt, context.idempotency_key))
    if not (state.get("ok") or context.run_id in MENDED):
        raise ValueError("boom")
    return {"done": True}


def leave(state: JsonObject, context: Context) -> JsonObject:
    """Leave files in the run's folder: one of each kind that there is."""
    (context.folder / "rows.txt").write_text("rows")
    (context.folder / ".draft").write_text("draft")
    (context.folder / "deeper").mkdir()
    (context.folder / "link.txt").symlink_to(context.folder / "rows.txt")
    return {"file": "rows.txt", "n": state.get("n", 0)}


def look(context: Context) -> JsonObject:
    """What lies in the run's folder."""
    return {"found": sorted(path.name for path in context.folder.iterdir())}


TOOLS = tuple(Tool.of(tool) for tool in (add, gated, risky, leave, look))


@contextmanager
def executing(folder: Path, settings: ApiSettings | None = None, tools: Iterable[Tool] = TOOLS) -> Iterator[Server]:
    """A server that executes what is started; its engine stops before it does."""
    with serving(folder, settings) as server:
        found = {made.name: made for made in tools}
        server.app.state.services = replace(server.services, tools=found)
        state_bytes_max = STATE_BYTES_MAX if settings is None else settings.state_bytes_max
        engine = Engine(
            server.services.store, found, EngineSettings(server.runs_folder, 100, 16, state_bytes_max, lease_s=600)
        )
        server.app.state.services = replace(server.services, engine_metrics=engine.metrics)
        engine.start()
        try:
            yield server
        finally:
            for gate in list(GATES.values()):
                gate.opened.set()
            server.do(engine.stop())


def graph(first: Any, *others: Any, **more: Any) -> JsonObject:
    """A graph of the nodes a, b, … one after the other."""
    nodes = dict(zip("abcdefgh", (first, *others), strict=False))
    names = list(nodes)
    edges = dict(pairwise(names))
    return {"start_node": "a", "nodes": nodes, "edges": edges} | more


def create(client: httpx.Client, document: JsonObject) -> str:
    answer = client.post("/graph/create", json=document)
    assert answer.status_code in (200, 201), answer.text
    graph_id: str = answer.json()["graph_id"]
    return graph_id


def begin(client: httpx.Client, document: JsonObject, **state: Any) -> str:
    body = {"graph_id": create(client, document), "initial_state": state, "tags": {"team": "data"}}
    answer = client.post("/graph/run", json=body)
    assert answer.status_code == 202, answer.text
    run_id: str = answer.json()["run_id"]
    return run_id


def run_of(client: httpx.Client, run_id: str) -> JsonObject:
    found: JsonObject = client.get(f"/graph/state/{run_id}").json()
    return found


def until(client: httpx.Client, run_id: str, status: str, *, step: int = 0, within_s: float = 60) -> JsonObject:
    """The run once it has that status, after `step` or a later one."""

    def reached() -> JsonObject | None:
        run = run_of(client, run_id)
        return run if run["status"] == status and run["step"] >= step else None

    found = eventually(reached, within_s)
    assert found is not None
    return found


def steps_of(client: httpx.Client, run_id: str) -> list[JsonObject]:
    found: list[JsonObject] = client.get(f"/runs/{run_id}/steps").json()["items"]
    return found


def events_of(client: httpx.Client, run_id: str) -> list[str]:
    return [line["event"] for line in run_of(client, run_id)["logs"]]


def post(client: httpx.Client, run_id: str, call: str, body: Any = None) -> httpx.Response:
    return client.post(f"/runs/{run_id}/{call}", **({} if body is None else {"json": body}))


def moved(client: httpx.Client, run_id: str, call: str, body: Any = None) -> str:
    """The status that `call` answers with, once it was accepted."""
    answer = post(client, run_id, call, body)
    assert answer.status_code == 202, answer.text
    assert answer.json().keys() == {"run_id", "status"}
    assert answer.json()["run_id"] == run_id
    status: str = answer.json()["status"]
    return status


def refused(answer: httpx.Response, status: int, *, pointer: str | None = None, names: str = "") -> None:
    """Check that `answer` is a problem of that status, at `pointer`, whose detail has `names` in it."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert names in answer.json()["detail"]
    if pointer is not None:
        assert pointer in [fault["pointer"] for fault in answer.json()["errors"]]


def rows_about(server: Server, run_ids: Collection[str]) -> dict[str, list[Any]]:
    """All rows of all tables that name one of these runs."""
    return {
        name: [row for row in rows if any(cell in run_ids for cell in row)] for name, rows in server.tables().items()
    }
