"""A run whose tool a server lacks is left to servers that have it, and holds up no other run meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pytest

from service.api.responses.explanation import because
from service.core.tool import CLUSTER, Tool, Tools
from service.core.transitions import Status
from service.store import Store
from service.store.commands.operations import left_runs
from service.store.commands.operations.left_runs import _LEFT, _WAITED_FOR
from service.store.database.protocol import Database
from service.store.database.sqlite.connections import Sqlite
from tests.support.store.carrying import LEAF, SINGLE_CHILD, graph, parked, queue, run_of, single, status_of
from tests.support.store.harness import Clock, ask, commit, opened, sql, start, success
from tests.support.store.plans import assert_in_order, assert_searches

NOTHING: dict[str, Tool] = {}


def tools(*names: str) -> dict[str, Tool]:
    return {name: Tool.of(lambda: None, name) for name in names}


ADD, ASK = tools("add"), tools("ask")
ASKING = single("ask")
THEN_ASK = graph({"start_node": "a", "nodes": {"a": "add", "b": "ask"}, "edges": {"a": "b"}})


async def claimed(store: Store, of: Mapping[str, Tool], count: int = 10, family: str | None = None) -> list[str]:
    return [each.run.id for each in await store.leases.claim(count, family=family, tools=of)]


async def looking(store: Store, clock: Clock, of: Mapping[str, Tool], count: int = 10) -> list[str]:
    """Claim twice, half a second later, so that one of the claims looks for runs that were left."""
    clock.advance(left_runs.LOOK_EVERY_S)
    return await claimed(store, of, count) + await claimed(store, of, count)


async def test_a_queued_run_is_left_to_a_server_that_has_its_tool(
    database: Database, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(database, clock) as store:
        for number in range(3):
            await start(store, f"r{number}", LEAF)
        with caplog.at_level(logging.WARNING):
            assert await claimed(store, ASK) == []
            assert await looking(store, clock, ASK) == []
        said = "no tool 'add' is registered on this server; registered: ask"
        assert caplog.messages == [f"{said}; runs that need it are left to servers that have it"]
        assert run_of(database, "r0", "status", "missing_tool", "started_at", "last_seq") == ("queued", "add", None, 0)
        why = await store.history.why("r0")
        assert (why.run.status, why.missing_tool) == (Status.QUEUED, "add")
        assert sorted(await looking(store, clock, ADD)) == ["r0", "r1", "r2"]
        assert run_of(database, "r0", "status", "missing_tool") == ("running", None)


async def test_a_run_that_comes_to_such_a_node_is_released_to_a_server_that_has_the_tool(
    database: Database, clock: Clock
) -> None:
    async with opened(database, clock) as store:
        await start(store, "r", THEN_ASK)
        [first] = await store.leases.claim(10, tools=ADD)
        await commit(store, first.lease, success(first.run, n=1))
        await store.leases.release(first.lease, interrupted=False, missing_tool="ask")
        assert await looking(store, clock, ADD) == []
        assert run_of(database, "r", "status", "step", "missing_tool") == ("queued", 1, "ask")
        clock.advance(left_runs.LOOK_EVERY_S)
        [second] = await store.leases.claim(10, tools=ASK)
        assert (second.run.node, second.run.attempt, second.run.crashes) == ("b", 1, 0)
        assert [line[0] for line in ask(database, "SELECT event FROM log_lines ORDER BY seq")][-1] == "run_resumed"


async def test_runs_without_their_tool_hold_up_no_other_run(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        for number in range(25):
            await start(store, f"left-{number:02}", ASKING)
        clock.advance(1)
        await start(store, "mine", LEAF)
        seen = [await claimed(store, ADD) for _ in range(3)]
        assert seen == [[], [], ["mine"]]
        # Nothing is due any more: no claim leaves a run twice, or comes again at once.
        rows = "SELECT id, status, due_at, missing_tool, last_seq FROM runs ORDER BY id"
        before = ask(database, rows)
        assert await claimed(store, ADD) == []
        assert store.leases.next_due_s > 0
        assert ask(database, rows) == before


@pytest.mark.parametrize("count", [1, 4])
async def test_runs_that_were_left_and_runs_that_are_due_take_turns(
    database: Database, clock: Clock, count: int
) -> None:
    async with opened(database, clock) as store:
        for number in range(6):
            await start(store, f"left-{number}", ASKING)
            await claimed(store, ADD)
        for number in range(6):
            await start(store, f"due-{number}", ASKING)
        clock.advance(left_runs.LOOK_EVERY_S)
        seen: list[str] = []
        while len(seen) < 12:
            seen += await claimed(store, ASK, count)
        kinds = [each.partition("-")[0] for each in seen[: 2 * count]]
        assert {kinds.count("left"), kinds.count("due")} == {count}


async def test_a_run_that_was_left_is_paused_resumed_and_cancelled_like_others(
    database: Database, clock: Clock
) -> None:
    async with opened(database, clock) as store:
        for run_id in ("one", "two"):
            await start(store, run_id, ASKING)
        assert await claimed(store, ADD) == []
        assert await store.control.pause("one") == Status.PAUSED
        await store.control.cancel("two")
        assert run_of(database, "one", "missing_tool") == run_of(database, "two", "missing_tool") == (None,)
        assert await looking(store, clock, ASK) == []
        await store.control.resume("one")
        assert await looking(store, clock, ADD) == []
        assert run_of(database, "one", "status", "missing_tool") == ("queued", "ask")
        assert await looking(store, clock, ASK) == ["one"]


async def test_a_server_that_starts_leaves_such_runs_where_they_are(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        await start(store, "r", ASKING)
        assert await claimed(store, ADD) == []
        await store.leases.seize()
        assert run_of(database, "r", "missing_tool", "due_at")[0] == "ask"
        assert await claimed(store, ASK) + await looking(store, clock, ASK) == ["r"]


async def test_a_family_has_runs_that_were_left_as_well(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        await parked(store, "mine", SINGLE_CHILD, LEAF)
        await queue(store, "stranger", LEAF)
        assert await claimed(store, ASK) == []
        [held] = await store.history.held("mine", 10)
        assert (held.missing_tool, held.needs_somebody) == ("add", True)
        [child] = [held.run_id]
        clock.advance(left_runs.LOOK_EVERY_S)
        assert await claimed(store, ASK, family="mine") == []
        clock.advance(left_runs.LOOK_EVERY_S)
        assert await claimed(store, ADD, family="mine") + await claimed(store, ADD, family="mine") == [child]
        assert status_of(database, "stranger") == "queued"


async def test_tools_that_runs_in_flight_still_need_are_counted(database: Database) -> None:
    async with opened(database) as store:
        for number in range(3):
            await start(store, f"r{number}", THEN_ASK)
        await start(store, "leaf", LEAF)
        await start(store, "over", ASKING)
        await store.control.cancel("over")
        assert await store.needed_tools.missing(ADD) == ({"ask": 3}, False)
        assert await store.needed_tools.missing(NOTHING) == ({"ask": 3, "add": 4}, False)
        [first] = await store.leases.claim(1, tools=ADD)
        await commit(store, first.lease, success(first.run, n=1))
        assert await store.needed_tools.missing(ASK) == ({"add": 3}, False)


LEFT = """\
WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000)
INSERT INTO runs (id, graph_id, status, step, current_node, attempt, crashes, in_flight, last_seq, lease_token, tags,
    created_at, moved_at, due_at, missing_tool)
SELECT 'w' || n, (SELECT id FROM graphs), 'queued', 1, 'a', 1, 0, 1, 3, 1, '{}', '2019', '2019',
    '9999-12-31T00:00:00.000Z', 'ask' FROM n"""


async def test_runs_that_were_left_are_found_by_their_index(file: Sqlite) -> None:
    async with opened(file) as store:
        await start(store, "r", LEAF)
    with sql(file) as connection:
        connection.execute(LEFT)
        connection.execute("ANALYZE")
    assert_searches(file, _LEFT, "SEARCH runs USING INDEX runs_left (missing_tool=?)")
    assert_in_order(file, _LEFT)
    assert_searches(file, _WAITED_FOR, "SEARCH runs USING COVERING INDEX runs_left (missing_tool=?)")


async def test_a_run_whose_tool_is_called_on_a_cluster_is_left_to_a_server_that_has_one(
    database: Database, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    document = graph({"start_node": "a", "nodes": {"a": {"tool": "add", "on": "cluster"}}})
    without, having = (Tools(ADD).with_cluster(is_there=is_there) for is_there in (False, True))
    async with opened(database, clock) as store:
        await start(store, "r", document)
        assert (await store.needed_tools.missing(without)).runs == {CLUSTER: 1}
        assert (await store.needed_tools.missing(having)).runs == {}
        with caplog.at_level(logging.WARNING):
            assert await looking(store, clock, without) == []
        said = "no cluster is configured on this server: set RUNGRAPH_CLUSTER"
        assert caplog.messages == [f"{said}; runs that need it are left to servers that have it"]
        why = because(await store.history.why("r"))
        assert why.endswith(" for a server that has a cluster, on which node 'a' calls its tool.")
        assert await looking(store, clock, having) == ["r"]
