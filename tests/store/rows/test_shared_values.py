"""What a run gives to all its children is stored once, and reads as if each child had a copy."""

from __future__ import annotations

import json

from service.core.join import SHARED_BYTES_MIN
from service.core.state import Changes
from service.store import Store
from service.store.commands.start import Start
from service.store.database.protocol import Database
from tests.support.store.carrying import (
    LEAF,
    SINGLE_CHILD,
    begun,
    carry,
    children_of,
    claim,
    fan,
    parked,
    rest,
    setting,
)
from tests.support.store.harness import ask, opened, sql

LARGE = "é" * SHARED_BYTES_MIN
SMALL = "x" * 10
COUNT = 150
"""More children than one commit starts."""


def shared(database: Database) -> list[tuple[str, str]]:
    return ask(database, "SELECT run_id, value FROM shared_values ORDER BY 1, 2")


async def state_of(store: Store, run_id: str, step: int | None = None) -> str:
    return (await store.history.state_at(run_id, step))[1].to_text()


async def parent(store: Store) -> None:
    of = fan(input=["large", "small"])
    await parked(store, "p", of, LEAF, large=LARGE, small=SMALL, items=list(range(COUNT)))


def first_state(number: int) -> str:
    return json.dumps(
        {"large": LARGE, "small": SMALL, "item": number, "index": number}, ensure_ascii=False, separators=(",", ":")
    )


async def test_a_large_input_is_stored_once_for_all_children(database: Database) -> None:
    async with opened(database) as store:
        await parent(store)
        children = [run_id for run_id, _ in children_of(database, "p")]
        assert len(children) == COUNT
        assert shared(database) == [("p", json.dumps(LARGE, ensure_ascii=False))]
        copies = "SELECT count(*) FROM changes WHERE key = 'large' AND value IS NOT NULL"
        assert ask(database, copies) == [(1,)]  # The parent's own.
        for number in (0, COUNT - 1):
            assert await state_of(store, children[number]) == first_state(number)
            record, state, _ = await store.runs.whole(children[number], 0, 1)
            assert (record.step, state.to_text()) == (0, first_state(number))
            view = f"SELECT state FROM v_states WHERE run_id = '{children[number]}' AND step = 0"
            assert ask(database, view) == [(first_state(number),)]
            view = f"SELECT value, removed FROM v_changes WHERE run_id = '{children[number]}' AND key = 'large'"
            assert ask(database, view) == [(json.dumps(LARGE, ensure_ascii=False), 0)]
        claimed = await claim(store, children[0])
        assert claimed.run.state.to_text() == first_state(0)


async def test_children_that_are_started_one_by_one_share_as_well(database: Database) -> None:
    async with opened(database) as store:
        await parked(store, "p", fan(input=["large"], max_parallel=1), LEAF, large=LARGE, items=[1, 2])
        for number in range(2):
            [*_, (child, _)] = children_of(database, "p")
            assert (await rest(store, await claim(store, child))).state.to_object()["index"] == number
            claimed = await claim(store, "p")
            await rest(store, claimed)
        got = json.loads(await state_of(store, "p"))["got"]
        assert got == [{"large": LARGE, "item": item, "index": item - 1} for item in (1, 2)]
        assert len(shared(database)) == 1


async def test_a_child_that_changes_what_it_shares_changes_its_own(database: Database) -> None:
    async with opened(database) as store:
        await parent(store)
        (first, _), (second, _), *_ = children_of(database, "p")
        claimed = await claim(store, first)
        await carry(store, claimed, setting(claimed.run, large=1))
        assert json.loads(await state_of(store, first))["large"] == 1
        assert await state_of(store, first, 0) == first_state(0)
        assert await state_of(store, second) == first_state(1)
        removing = await claim(store, second)
        before = removing.run.state.to_object()
        gone = removing.run.state.changes_to({k: v for k, v in before.items() if k != "large"}, {}, 2**26)
        await carry(store, removing, setting(removing.run)._replace(changes=Changes(gone.set, gone.unset)))
        assert "large" not in json.loads(await state_of(store, second))
        steps = await store.history.page(second, 0, 10)
        assert steps.items[0].unset == ("large",)


async def test_a_fork_of_a_child_and_a_child_of_a_child_have_the_values(database: Database) -> None:
    async with opened(database) as store:
        await store.graphs.add(LEAF)
        await parked(store, "p", fan(SINGLE_CHILD, input=["large"]), SINGLE_CHILD, large=LARGE, items=[1])
        [(child, _)] = children_of(database, "p")
        await rest(store, await claim(store, child))
        [(grandchild, _)] = children_of(database, child)
        whole = {"large": LARGE, "item": 1, "index": 0}
        assert json.loads(await state_of(store, grandchild)) == whole
        branch = await store.history.branch(child, 0)
        await store.runs.start(Start("fork", branch.graph_id, branch.state, {}, "a", (child, 0)))
        assert json.loads(await state_of(store, "fork")) == whole
        assert [owner for owner, _ in shared(database)] == sorted(["p", child])


async def test_children_of_a_parent_that_is_deleted_keep_their_states(database: Database) -> None:
    async with opened(database) as store:
        await parent(store)
        (child, _), *_ = children_of(database, "p")
        await store.control.cancel("p")
        with sql(database) as session:
            for table in ("changes", "snapshots", "attempts", "log_lines", "waits", "run_tags"):
                session.execute(f"DELETE FROM {table} WHERE run_id = 'p'")
            session.execute("DELETE FROM runs WHERE id = 'p'")
        assert await state_of(store, child) == first_state(0)


async def test_a_start_and_a_small_value_share_nothing(database: Database) -> None:
    async with opened(database) as store:
        await begun(store, "r", LEAF, large=LARGE)
        await parked(store, "p", fan(input=["small"]), LEAF, small=SMALL, items=[1])
        assert shared(database) == []
