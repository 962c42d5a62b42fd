"""Backtest over both databases: states that are built up from what steps changed are those that the steps had."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from service.core.graph import Graph
from service.core.validation import read_graph
from service.store.database.protocol import Database
from tests.support.store.filters import filter_of
from tests.support.store.harness import claim_one, dump, opened, start, walk

LONG = "é" * 5000
"""A key whose slot in the index is a stand-in on PostgreSQL."""


def asking(condition: Any) -> Graph:
    """Goes on while the condition holds."""
    edges = {"a": {"to": "a", "condition": condition}}
    return read_graph({"start_node": "a", "nodes": {"a": "add"}, "edges": edges}, ["add"])


STATES: list[dict[str, Any]] = [
    {"n": 1, LONG: 1},
    {"n": 2, LONG: 1, "big": "x" * 3_000_000},
    {"n": 3, "big": "y" * 3_000_000},
    {"n": 4, LONG: 1.0, "big": "z"},
    {"n": 5, LONG: 2, "more": None},
    {"n": 5, LONG: 1, "more": None},
]
"""Two of the steps are too large to share a page."""


CONDITIONS: list[tuple[dict[str, Any], list[int]]] = [
    ({"key": LONG, "op": "exists"}, [3]),
    ({"not": {"key": LONG, "op": "exists"}}, [1, 2, 4, 5, 6]),
    ({"key": "big", "op": "exists"}, [1, 5, 6]),
    ({"all": [{"key": "more", "op": "exists"}, {"key": LONG, "op": "==", "value": 1}]}, [1, 2, 3, 4, 5]),
    ({"key": "n", "op": "in", "value": [1, 3, 5]}, [2, 4]),
]
"""Conditions, and the steps after which they do not hold."""


async def test_states_are_those_after_each_step(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(database) as store:
        await start(store, "r")
        await walk(store, await claim_one(store), STATES)
        before = dump(database)
        for at_once, (condition, stops) in itertools.product([2, 1000], CONDITIONS):
            monkeypatch.setattr("service.store.queries.backtest.STEPS_AT_ONCE", at_once)
            found = await store.backtest.run(asking(condition), await store.runs.newest(filter_of(), 10))
            assert (found.runs, found.steps, found.diverging_runs) == (1, len(STATES), 1)
            assert [example.step for example in found.examples] == stops, (at_once, condition)
        assert dump(database) == before


async def test_which_graphs_are_known(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.store.queries.graphs.IDS_AT_ONCE", 2)
    *added, other = [asking({"key": key, "op": "exists"}) for key in "abcde"]

    async with opened(database) as store:
        for graph in added:
            await store.graphs.add(graph)
        ids = {graph.id for graph in added}
        assert await store.graphs.known(ids | {other.id, "0" * 32}) == ids
        assert await store.graphs.known([]) == set()
