"""Children: each is started once, whoever dies meanwhile; their parent is woken, joins them, and takes them along."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from service.core.errors import LeaseLost
from service.core.join import child_id
from service.core.transitions import Status
from service.store.database.protocol import Database
from service.store.database.transaction import Transaction
from tests.support.store.carrying import (
    BOOM,
    LEAF,
    NAP,
    SINGLE_CHILD,
    begun,
    carry,
    children_of,
    claim,
    events_of,
    fan,
    parked,
    rest,
    run_of,
    setting,
    status_of,
    transition,
    waits,
)
from tests.support.store.harness import Clock, ask, commit, gathering, opened, sql, until_async

PARENT = "01890a5d-ac96-774b-bcce-b302099a8057"


async def end(store: Any, run_id: str, **state: Any) -> None:
    """Carry a queued child to its end."""
    claimed = await claim(store, run_id)
    await carry(store, claimed, setting(claimed.run, **state))


async def fail(store: Any, run_id: str) -> None:
    await carry(store, await claim(store, run_id), BOOM)


def ids(database: Database, run_id: str = "p") -> list[str]:
    return [child for child, _ in children_of(database, run_id)]


def statuses(database: Database, run_id: str = "p") -> list[str]:
    return [status for _, status in children_of(database, run_id)]


def test_a_childs_id_is_a_function_of_its_place_and_looks_like_any_other() -> None:
    made = child_id(PARENT, 1, 1, 0)
    assert made == child_id(PARENT, 1, 1, 0)
    assert made.startswith("01890a5d-ac96-7")
    assert made[19] in "89ab"
    assert len(made) == len(PARENT)
    others = {child_id(PARENT, *place) for place in [(1, 1, 1), (1, 2, 0), (2, 1, 0), (11, 1, 0), (1, 11, 0)]}
    assert len({made, *others, child_id(PARENT[::-1], 1, 1, 0)}) == 7


async def test_children_are_started_and_joined_in_order_whatever_the_order_of_their_ends(database: Database) -> None:
    async with opened(database) as store:
        run = await parked(store, "p", fan(), LEAF, items=[5, 6, 7])
        assert (run.status, statuses(database)) == (Status.WAITING, ["queued"] * 3)
        assert waits(database) == [("p", "children")]
        for number in (2, 0, 1):
            assert run_of(database, "p", "due_at") == (None,)
            await end(store, ids(database)[number], n=number)
        claimed = await carry(store, await claim(store, "p"))
        assert claimed.run.state.to_object()["got"] == [
            {"item": item, "index": index, "n": index} for index, item in enumerate([5, 6, 7])
        ]
        assert waits(database) == []
        child = await store.runs.get(ids(database)[1])
        assert (child.parent_id, child.parent_step) == ("p", 1)


async def test_no_more_than_max_parallel_are_under_way_and_each_end_starts_the_next(database: Database) -> None:
    async with opened(database) as store:
        await parked(store, "p", fan(max_parallel=2), LEAF, items=list(range(5)))
        for ended in range(5):
            assert statuses(database).count("queued") == min(2, 5 - ended)
            await end(store, ids(database)[ended])
            run = await rest(store, await claim(store, "p")) if ended in (0, 1, 2, 4) else None
            assert run is None or run.status is (Status.COMPLETED if ended == 4 else Status.WAITING)


async def test_large_final_states_are_read_a_few_at_a_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.store.rows.states.STATES_LENGTH_MAX", 1)

    async with opened(database) as store:
        await parked(store, "p", fan(), LEAF, items=list(range(5)))
        for child in ids(database):
            await end(store, child)
        claimed = await carry(store, await claim(store, "p"))
        assert [each["item"] for each in claimed.run.state.to_object()["got"]] == list(range(5))


async def test_an_empty_array_is_joined_at_once(database: Database) -> None:
    async with opened(database) as store:
        run = await parked(store, "p", fan(), LEAF, items=[])
        assert (run.status, run.state.to_object()["got"]) == (Status.COMPLETED, [])


async def test_a_single_child_has_the_whole_state_and_gives_it_back(database: Database) -> None:
    async with opened(database) as store:
        await parked(store, "p", SINGLE_CHILD, LEAF, x=1, y=[2**70, -0.0])
        [child] = ids(database)
        assert (await store.history.state_at(child, 0))[1].to_text() == '{"x":1,"y":[1180591620717411303424,-0.0]}'
        await end(store, child, z=3)
        run = await rest(store, await claim(store, "p"))
        assert run.state.to_object()["got"] == {"x": 1, "y": [2**70, 0.0], "z": 3}


async def test_a_server_that_dies_while_it_starts_children_has_started_none_twice(database: Database) -> None:
    async with opened(database) as store:
        claimed = await carry(store, await begun(store, "p", fan(), LEAF, items=list(range(250))))
        assert (claimed.run.status, len(ids(database))) == (Status.RUNNING, 100)
        await store.leases.seize()
        again = await claim(store, "p")
        assert (again.run.attempt, again.run.crashes) == (1, 0)
        with pytest.raises(LeaseLost):
            await carry(store, claimed)
        assert len(ids(database)) == 100
        assert (await rest(store, again)).status is Status.WAITING
        assert ids(database) == [child_id("p", 1, 1, number) for number in range(250)]
        assert ask(database, "SELECT * FROM attempts") == []


async def test_a_server_that_dies_while_it_joins_children_loses_nothing(database: Database) -> None:
    async with opened(database) as store:
        await parked(store, "p", fan(), LEAF, items=[1, 2])
        for child in ids(database):
            await end(store, child)
        await claim(store, "p")
        await store.leases.seize()
        run = await rest(store, await claim(store, "p"))
        assert (run.status, len(run.state.to_object()["got"]), len(ids(database))) == (Status.COMPLETED, 2, 2)
        assert events_of(database, "p").count("run_resumed") == 1


async def test_another_attempt_has_children_of_its_own_in_any_number_of_commits(database: Database) -> None:
    clock = Clock()
    async with opened(database, clock) as store:
        retried = fan(retry={"max_attempts": 2, "backoff_s": 5})
        await parked(store, "p", retried, LEAF, items=list(range(150)))
        await fail(store, ids(database)[3])
        assert (await rest(store, await claim(store, "p"))).attempt == 2
        assert set(statuses(database)) == {"failed", "cancelled"}
        clock.advance(5)
        claimed = await carry(store, await claim(store, "p"))
        assert claimed.run.status is Status.RUNNING
        await store.leases.seize()
        again = await claim(store, "p")
        assert (again.run.attempt, again.run.failures) == (2, 1)
        assert (await rest(store, again)).status is Status.WAITING
        second = ask(database, "SELECT id FROM runs WHERE parent_attempt = 2 ORDER BY child_number")
        assert second == [(child_id("p", 1, 2, number),) for number in range(150)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_child_that_parks_together_with_the_failure_of_its_parent_waits_for_nothing(
    database: Database, order: tuple[int, int]
) -> None:
    async with opened(database) as store:
        await parked(store, "p", fan(NAP), NAP, items=[1, 2])
        failing, parking = ids(database)
        await store.control.cancel(failing)
        claims = [await claim(store, "p"), await claim(store, parking)]
        made = [(each.lease, await transition(store, each.run)) for each in claims]
        with gathering(store):
            tasks = []
            for number in order:
                tasks.append(asyncio.ensure_future(commit(store, *made[number])))
                await until_async(lambda: len(store._writer._waiting) == len(tasks))
        await asyncio.gather(*tasks)
        assert (status_of(database, "p"), statuses(database)) == ("failed", ["cancelled"] * 2)
        assert waits(database) == []
        events_of(database, parking)


async def test_a_child_that_fails_while_its_parent_counts_is_not_joined(server_database: Database) -> None:
    """Each statement on PostgreSQL sees what is committed by then: what belongs together is asked in one."""

    async with opened(server_database) as one, opened(server_database, server_id="two") as two:
        await parked(one, "p", fan(), LEAF, items=[1, 2])
        first, second = ids(server_database)
        await end(two, first)
        failing = await claim(two, second)
        with sql(server_database) as session:  # Looked after once more, as after a crash.
            session.execute("UPDATE runs SET due_at = now() WHERE id = 'p'")
        parent = (await claim(one, "p")).run
        made = await transition(two, failing.run, BOOM)
        loop, asked = asyncio.get_running_loop(), 0
        execute = Transaction.execute

        def interrupted(transaction: Transaction, *arguments: Any, **parameters: Any) -> Any:
            nonlocal asked
            is_count = threading.current_thread() is one._writer._thread
            asked += is_count
            if is_count and asked == 2:
                asyncio.run_coroutine_threadsafe(commit(two, failing.lease, made), loop).result(5)
            return execute(transaction, *arguments, **parameters)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Transaction, "execute", interrupted)
            found = await transition(one, parent)
        assert found.run.status is Status.WAITING
