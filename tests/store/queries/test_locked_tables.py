"""Law 16 on PostgreSQL: a locked table holds up no read of something that is not in it."""

from __future__ import annotations

import pytest

from service.core.errors import Unavailable
from service.core.join import SHARED_BYTES_MIN
from service.store.database.protocol import Database
from service.store.rows.operations.schedules import Plan
from service.store.rows.operations.timetable import Timetable
from tests.support.store.carrying import LEAF, begun, carry, children_of, fan, graph, parked, setting
from tests.support.store.harness import COUNTER, claim_one, clean, opened, start
from tests.support.store.locking import locking, whole

LOOP = graph({"start_node": "a", "nodes": {"a": "add"}, "edges": {"a": "a"}})


@pytest.fixture
def database(kept: Database) -> Database:
    clean(kept)
    return kept


async def test_runs_without_shared_values_are_read_and_claimed_while_that_table_is_locked(database: Database) -> None:
    async with opened(database) as store:
        await parked(store, "p", fan(input=["large"], max_parallel=1), LEAF, large="x" * SHARED_BYTES_MIN, items=[1])
        [(child, _)] = children_of(database, "p")
        claimed = await begun(store, "r", LOOP, n=0)
        claimed = await carry(store, claimed, setting(claimed.run, n=1))
        await start(store, "next")
        async with locking(database, whole("shared_values")):
            assert (await store.history.state_at("r", 1))[1].to_object() == {"n": 1}
            assert (await store.history.why("r")).last_step is not None
            assert [step.step for step in (await store.details.steps("r", limit=9)).items] == [1]
            assert len((await store.history.page("r", 0, 9)).items) == 1
            assert [key.key for key in await store.details.keys("r")] == ["n"]
            assert len((await store.details.key_values("r", "n", None, 9)).items) == 2
            assert (await claim_one(store)).lease.run_id == "next"
            with pytest.raises(Unavailable):
                await store.history.state_at(child, 0)


async def test_a_schedule_that_has_started_no_run_is_read_while_the_table_of_deletions_is_locked(
    database: Database,
) -> None:
    async with opened(database) as store:
        await store.graphs.add(COUNTER)
        await store.schedules.set("s", Plan(COUNTER.id, None, Timetable(None, 60), "{}", "{}"))
        async with locking(database, whole("deletions")):
            assert (await store.schedules.get("s")).last_run_id is None
            assert len((await store.schedules.page(9)).items) == 1
