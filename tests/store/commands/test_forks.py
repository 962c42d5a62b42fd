"""Where a fork begins, what it leaves alone, and what there is to tell of why a run is where it is."""

from __future__ import annotations

import pytest

from service.core.errors import NotFound
from service.core.transitions import Status
from service.store.commands.start import Start
from service.store.database.protocol import Database
from tests.support.store.carrying import (
    APPROVAL,
    LEAF,
    begun,
    carry,
    children_of,
    claim,
    fan,
    graph,
    parked,
    queue,
    rest,
    setting,
)
from tests.support.store.control.commands import patched
from tests.support.store.harness import Clock, dump, opened

LOOP = graph({"start_node": "a", "nodes": {"a": "add"}, "edges": {"a": "a"}})


async def test_a_fork_goes_on_where_that_step_went_and_leaves_the_other_run_as_it_is(database: Database) -> None:
    chain = graph({"start_node": "a", "nodes": {"a": "add", "b": "add"}, "edges": {"a": "b"}})

    async with opened(database, Clock()) as store:
        claimed = await begun(store, "r", chain, n=0)
        claimed = await carry(store, claimed, setting(claimed.run, n=1))
        await carry(store, claimed, setting(claimed.run, n=2))
        before = dump(database)
        places = [await store.history.branch("r", step) for step in (0, 1, None)]
        assert [(at.step, at.node, at.state.to_object()["n"]) for at in places] == [
            (0, "a", 0),
            (1, "b", 1),
            (2, None, 2),
        ]
        with pytest.raises(NotFound):
            await store.history.branch("r", 3)
        with pytest.raises(NotFound):
            await store.history.branch("nobody", None)
        await store.runs.start(Start("f", chain.id, places[1].state, {}, places[1].node, ("r", 1)))
        claimed = await claim(store, "f")
        assert (claimed.run.node, claimed.run.step) == ("b", 0)
        assert (await rest(store, claimed)).status is Status.COMPLETED
        fork = await store.runs.get("f")
        assert (fork.forked_from_id, fork.forked_from_step, fork.parent_id) == ("r", 1, None)
        rows = dump(database)
        for table in ("runs", "snapshots", "changes", "log_lines", "attempts"):
            assert [row for row in rows[table] if row[0] != "f"] == before[table]


async def test_a_fork_of_a_fork_begins_where_that_began_also_when_it_was_cancelled(database: Database) -> None:
    chain = graph({"start_node": "a", "nodes": {"a": "add", "b": "add"}, "edges": {"a": "b"}})

    async with opened(database) as store:
        await queue(store, "r", chain, n=0)
        branch = await store.history.branch("r", 0)
        for name in ("queued", "cancelled", "patched"):
            await store.runs.start(Start(name, chain.id, branch.state, {}, "b", ("r", 0)))
        await store.control.cancel("cancelled")
        await store.control.pause("patched")
        await store.control.resume("patched", patched(n=1))
        for name in ("queued", "cancelled", "patched"):
            assert (await store.history.branch(name, 0)).node == "b"
        [line] = (await store.logs.page("cancelled", 0, 10))[0]
        assert (line.event, line.node) == ("run_cancelled", "b")


async def test_why_tells_what_a_run_waits_for_and_who_carries_it(database: Database) -> None:
    async with opened(database, Clock()) as store:
        await parked(store, "p", fan(), LEAF, items=[1, 2, 3])
        await rest(store, await claim(store, children_of(database, "p")[0][0]))
        why = await store.history.why("p")
        assert why.wait is not None
        assert (why.wait.kind, why.wait.open, why.wait.due_at, why.lease_owner) == ("children", 2, None, None)
        await parked(store, "s", APPROVAL)
        await store.control.pause("s")
        why = await store.history.why("s")
        assert why.wait is not None
        assert (why.wait.kind, why.wait.name, why.paused_because) == ("signal", "ok", "paused on request")
        await begun(store, "r", LOOP)
        await store.control.pause("r")
        why = await store.history.why("r")
        assert (why.wait, why.pause_asked, why.lease_owner, why.paused_because) == (None, True, "one", None)
        with pytest.raises(NotFound):
            await store.history.why("nobody")
