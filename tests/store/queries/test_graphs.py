"""Graphs by their names."""

from __future__ import annotations

from service.core.validation import read_graph
from service.store.database.protocol import Database
from tests.support.store.harness import Clock, opened


def graph(name: str, steps: int) -> dict[str, object]:
    return {"name": name, "start_node": "a", "max_steps": steps, "nodes": {"a": "add"}}


async def test_the_latest_graph_of_a_name(database: Database, clock: Clock) -> None:
    long = "x" * 200
    async with opened(database, clock) as store:
        ids = {}
        for name, steps in (("a", 1), ("a", 2), ("b", 1), ("a", 3), (f"{long}1", 1), (f"{long}2", 1), ("a", 2)):
            read = read_graph(graph(name, steps), ["add"])
            await store.graphs.add(read)
            ids[name, steps] = read.id
            clock.advance(1)
        found = await store.graphs.latest(["a", f"{long}1", "b", "c", ""])
        # A graph that was posted again is the latest.
        assert found == {"a": ids["a", 2], "b": ids["b", 1], f"{long}1": ids[f"{long}1", 1]}
        assert await store.graphs.latest([]) == {}
