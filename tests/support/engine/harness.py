"""A real store and a real engine over scripted tools, for the tests of this folder."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.core.graph import Graph
from service.core.state import State
from service.core.tool import Tool
from service.core.validation import read_graph
from service.engine.engine import Engine, EngineSettings
from service.store import Store
from service.store.commands.start import Start
from service.store.database.clock import Override
from service.store.database.opening import database_at
from service.store.rows.records import LineRecord, RunRecord
from tests.support.migrated import bring_up

STATE_BYTES_MAX = 2**20


def pure(function: Callable[..., Any]) -> Tool:
    return Tool.of(function, pure=True)


def _tool(given: Callable[..., Any] | Tool) -> Tool:
    return given if isinstance(given, Tool) else Tool.of(given)


def loop_until(count: int, tool: str = "add") -> dict[str, Any]:
    """A graph of one node that counts `n` up to `count`."""
    again = {"to": "a", "condition": {"key": "n", "op": "<", "value": count}}
    return {"start_node": "a", "nodes": {"a": tool}, "edges": {"a": [again]}}


@dataclass
class Bench:
    """One database file, a store over it and, if asked for, an engine."""

    store: Store
    tools: dict[str, Tool]
    runs_folder: Path

    async def start(self, run_id: str, document: dict[str, Any], **state: Any) -> Graph:
        graph = read_graph(document, self.tools)
        await self.store.graphs.add(graph)
        await self.store.runs.start(Start(run_id, graph.id, State.of(state, STATE_BYTES_MAX), {}))
        return graph

    async def lines(self, run_id: str) -> list[LineRecord]:
        """All lines of a run, which is over when this returns."""
        found: list[LineRecord] = []
        async for lines in self.store.tails.lines(run_id, 0, gone=lambda _: False):
            found += lines
        return found

    async def over(self, run_id: str) -> RunRecord:
        await self.lines(run_id)
        return await self.store.runs.get(run_id)

    async def state(self, run_id: str) -> dict[str, Any]:
        return (await self.store.history.state_at(run_id, None))[1].to_object()


@asynccontextmanager
async def bench(
    folder: Path,
    tools: Iterable[Callable[..., Any] | Tool],
    *,
    clock: Override | None = None,
    url: str | None = None,
    lease_s: float = 15,
    server_id: str = "server",
) -> AsyncIterator[Bench]:
    """A store without an engine; without `url`, that of a file in `folder`."""
    database = database_at(url or f"sqlite:///{folder / 'rungraph.db'}")
    bring_up(database)
    store = Store(database, server_id=server_id, address="test", lease_s=lease_s, clock=clock)
    store.open()
    try:
        yield Bench(store, {made.name: made for made in map(_tool, tools)}, folder / "runs")
    finally:
        await store.close()


@asynccontextmanager
async def running(
    folder: Path,
    *tools: Callable[..., Any] | Tool,
    threads: int = 16,
    lease_s: float = 15,
    url: str | None = None,
    server_id: str = "server",
    active_bytes_max: float = math.inf,
) -> AsyncIterator[Bench]:
    """A store with an engine that executes what is started."""
    async with bench(folder, tools, url=url, lease_s=lease_s, server_id=server_id) as made:
        settings = EngineSettings(
            made.runs_folder, 100, threads, STATE_BYTES_MAX, lease_s, active_bytes_max=active_bytes_max
        )
        engine = Engine(made.store, made.tools, settings)
        engine.start()
        try:
            yield made
        finally:
            await engine.stop()


def let_no_step_fall_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no pure step be committed because it has waited for long, as it may have on a busy machine."""
    for bound in (
        "engine.ahead.OVERDUE_S",
        "store.database.writing.queued_write.OVERDUE_S",
        "store.database.writing.queued_write.DEFER_S",
    ):
        monkeypatch.setattr(f"service.{bound}", 3600.0)
