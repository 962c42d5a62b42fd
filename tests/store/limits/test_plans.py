"""The queries of limits and of priorities read the head of a queue, and not those that wait behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from service.store.commands.leases.due import _DUE, _NEXT
from service.store.commands.queueing import acquire, slots, waking
from service.store.database.protocol import Database
from service.store.database.sqlite.connections import Sqlite
from tests.support.store.carrying import LEAF
from tests.support.store.harness import Clock, clean, opened, sql
from tests.support.store.limits.limiting import LIMIT, claim_all, queue_limited
from tests.support.store.plans import assert_in_order, assert_searches

BY_LIMIT = "INDEX waits_for_limits (name=?)"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (slots._HEADS, (f"SEARCH waits USING {BY_LIMIT}", "SEARCH runs USING INDEX sqlite_autoindex_runs_1 (id=?)")),
        (slots._SLOTS, ("SEARCH slots USING INDEX slots_by_limit (name=?)",)),
        (slots._STARTS, ("SEARCH limit_starts USING PRIMARY KEY (name=? AND number>? AND number<?)",)),
        (slots._FORGET, ("SEARCH limit_starts USING PRIMARY KEY (name=? AND number<?)",)),
        (waking._NEXT_NAME, ("SEARCH waits USING INDEX waits_for_limits (name>?)",)),
        (waking._HAS_QUEUE, (f"SEARCH waits USING {BY_LIMIT}",)),
        (waking._WAKE, ("INDEX sqlite_autoindex_runs_1 (id=?)",)),
        (acquire._HELD, ("SEARCH runs USING INDEX sqlite_autoindex_runs_1 (id=?)",)),
    ],
)
def test_what_limits_ask_is_searched_on_sqlite(file: Sqlite, query: Any, expected: tuple[str, ...]) -> None:
    assert_searches(file, query, *expected)
    if query is slots._HEADS:
        assert_in_order(file, query)


WAITING = """\
INSERT INTO runs (id, graph_id, status, step, current_node, attempt, crashes, in_flight, last_seq, lease_token, tags,
    created_at, moved_at, due_at, priority)
SELECT 'w' || n, '{graph}', 'waiting', 1, 'a', 1, 0, 1, 3, 1, '{{}}', '2019-01-01', '2019-01-01',
    CASE WHEN n % 2 = 0 THEN timestamptz '2040-01-01' END, n % 3 - 1 FROM generate_series(1, 20000) AS n"""
WAITS = """\
INSERT INTO waits SELECT id, 'limit', CASE WHEN id < 'w5' THEN 'api' ELSE 'b' || id END, created_at, NULL, NULL, 0
FROM runs WHERE id LIKE 'w%'"""


@pytest.fixture(scope="module")
def crowded(kept: Database) -> Iterator[Any]:
    with sql(kept) as session:
        clean(kept)
        session.execute(
            f"INSERT INTO graphs VALUES ('{LEAF.id}', '', 'a', '{LEAF.text}', '2019-01-01')".replace("%", "%%")
        )
        session.execute(WAITING.format(graph=LEAF.id))
        session.execute(WAITS)
        session.execute("INSERT INTO slots SELECT id, 'c' || id, 1, 1, created_at FROM runs WHERE id LIKE 'w%'")
        session.execute("ANALYZE")
        yield session.session


def plan_of(session: Any, query: Any, **parameters: Any) -> tuple[set[str], set[str], int]:
    """Return the kinds of the plan's nodes, the indexes that it uses, and how many blocks it reads."""
    text, fixed = query.text("postgresql")
    [[[explained]]] = session.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}", fixed | parameters).fetchall()
    nodes = list(_nodes(explained["Plan"]))
    kinds = {node["Node Type"] for node in nodes}
    indexes = {node["Index Name"] for node in nodes if "Index Name" in node}
    return kinds, indexes, explained["Plan"]["Shared Hit Blocks"] + explained["Plan"]["Shared Read Blocks"]


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)


def test_what_limits_ask_is_searched_on_postgresql(crowded: Any) -> None:
    asked: list[tuple[Any, dict[str, Any], set[str]]] = [
        (slots._HEADS, {"name": LIMIT, "lapsed": "2019-01-01", "count": 5}, {"waits_for_limits", "runs_pkey"}),
        (slots._SLOTS, {"name": "cw7"}, {"slots_by_limit", "runs_pkey"}),
        (waking._NEXT_NAME, {"after": ""}, {"waits_for_limits"}),
    ]
    for query, parameters, expected in asked:
        kinds, indexes, blocks = plan_of(crowded, query, **parameters)
        assert not kinds & {"Seq Scan", "Sort", "Hash Join", "Bitmap Heap Scan"}, (query, kinds)
        assert indexes == expected
        assert blocks < 60, (query, blocks)


def test_a_claim_reads_no_run_that_is_due_later_at_any_priority(crowded: Any) -> None:
    due = {"now": "2030-01-01", "count": 20}
    kinds, indexes, blocks = plan_of(crowded, _DUE["postgresql"], **due)
    assert not kinds & {"Seq Scan", "Sort", "Incremental Sort"}, kinds
    assert (indexes, blocks < 40) == ({"runs_due"}, True)
    _, indexes, blocks = plan_of(crowded, _NEXT, now="2030-01-01", soon="2030-01-02")
    assert (indexes, blocks < 40) == ({"runs_due"}, True)


@pytest.mark.parametrize("name", ["file", "kept"])
async def test_runs_are_claimed_by_priority_and_then_by_age(
    request: pytest.FixtureRequest, clock: Clock, name: str
) -> None:
    database: Database = request.getfixturevalue(name)
    clean(database)
    async with opened(database, clock) as store:
        for run_id, priority in {"a": 0, "b": -100, "c": 7, "d": 0, "e": 100, "f": 7}.items():
            clock.advance(1)
            await queue_limited(store, run_id, priority)
        assert await store.leases.claim(0) == []
        [first] = await store.leases.claim(1)
        assert (first.run.id, first.run.priority) == ("e", 100)
        assert {claimed.run.id for claimed in await store.leases.claim(2)} == {"c", "f"}
        assert {claimed.run.id for claimed in await store.leases.claim(1, family="d")} == {"d"}
        assert list(await claim_all(store)) == ["a", "b"]
