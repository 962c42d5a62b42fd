"""Two servers on one PostgreSQL over the same runs: no wake-up is lost, nothing hangs, and all ends right.

Whatever two servers write at once, one of them comes second, and sees what the other has written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from service.core.errors import LeaseLost
from service.core.join import child_id
from service.core.transitions import Status
from service.store import Store
from service.store.commands.signals import MAILBOX_MAX
from service.store.database.protocol import Database
from service.store.rows.keys import Idempotency
from service.store.rows.records import Claimed
from tests.support.store.carrying import (
    APPROVAL,
    LEAF,
    begun,
    carry,
    children_of,
    claim,
    events_of,
    fan,
    graph,
    parked,
    queue,
    rest,
    run_of,
    status_of,
    transition,
    waits,
)
from tests.support.store.harness import ask, commit, gathering, until_async
from tests.support.store.servers import servers, undecided, until_one_waits

Command = Coroutine[Any, Any, Any]
BOTH = pytest.mark.parametrize("first", ["one", "two"], ids=lambda name: f"{name} first")


@pytest.fixture
def database(server_database: Database) -> Database:
    return server_database


async def meet(database: Database, one: Store, two: Store, mine: Command, its: Command, first: str) -> list[Any]:
    """What both commands answer: the first is done, but not committed, while the other begins and waits for it."""
    commands = [(one, mine), (two, its)]
    (holder, held), (_, waiting) = commands if first == "one" else reversed(commands)
    async with undecided(holder, held) as before:
        after = asyncio.ensure_future(waiting)
        await until_one_waits(database)
    answers = await asyncio.wait_for(asyncio.gather(before, after, return_exceptions=True), 60)
    return list(answers if first == "one" else reversed(answers))


@BOTH
async def test_a_signal_and_a_run_that_parks_for_it_meet(database: Database, first: str) -> None:
    async with servers(database) as (one, two):
        claimed = await begun(one, "r", APPROVAL)
        made = await transition(one, claimed.run)
        commands = commit(one, claimed.lease, made), two.signals.send("r", "ok", "1")
        parked_run, is_new = await meet(database, one, two, *commands, first)
        assert (parked_run.status, is_new) == (Status.WAITING, True)
        assert (await rest(two, await claim(two, "r"))).state.to_object() == {"ok": 1}


@BOTH
async def test_signals_of_two_servers_have_numbers_in_the_order_of_their_commits(
    database: Database, first: str
) -> None:
    async with servers(database) as (one, two):
        await queue(one, "r", APPROVAL)
        commands = one.signals.send("r", "ok", '"one"'), two.signals.send("r", "ok", '"two"')
        assert await meet(database, one, two, *commands, first) == [True, True]
        numbered = ask(database, "SELECT payload FROM signals ORDER BY number")
        assert numbered == [('"one"',), ('"two"',)][:: 1 if first == "one" else -1]


@BOTH
async def test_a_key_that_two_servers_use_at_once_is_one_signal(database: Database, first: str) -> None:
    async with servers(database) as (one, two):
        await queue(one, "r", APPROVAL)
        same = Idempotency("signal:r", "k", "body")
        commands = one.signals.send("r", "ok", "1", same), two.signals.send("r", "ok", "1", same)
        assert sorted(await meet(database, one, two, *commands, first)) == [False, True]
        assert ask(database, "SELECT count(*) FROM signals") == [(1,)]


@BOTH
async def test_a_childs_end_and_a_parent_that_parks_meet(database: Database, first: str) -> None:
    async with servers(database) as (one, two):
        # All children are there, and all but one are over; the parent has seen that, and is about to park.
        await parked(one, "p", fan(max_parallel=1), LEAF, items=[1, 2])
        await rest(one, await claim(one, child_id("p", 1, 1, 0)))
        claimed = await claim(one, "p")
        await rest(one, claimed)
        with_lease = await _looked_after(database, one)
        last = await claim(two, child_id("p", 1, 1, 1))
        made, end = await transition(one, with_lease.run), await transition(two, last.run)
        commands = commit(one, with_lease.lease, made), commit(two, last.lease, end)
        parent, child = await meet(database, one, two, *commands, first)
        assert (parent.status, child.status) == (Status.WAITING, Status.COMPLETED)
        joined = await rest(two, await claim(two, "p"))
        assert len(joined.state.to_object()["got"]) == 2


async def _looked_after(database: Database, store: Store) -> Claimed:
    """The parent, claimed although nothing has happened."""
    ask_all = "UPDATE runs SET due_at = clock_timestamp() - interval '1 s' WHERE id = 'p' RETURNING id"
    assert ask(database, ask_all) == [("p",)]
    return await claim(store, "p")


@BOTH
async def test_the_last_two_children_end_at_once_on_two_servers(database: Database, first: str) -> None:
    async with servers(database) as (one, two):
        await parked(one, "p", fan(), LEAF, items=[1, 2])
        claims = [await claim(store, child_id("p", 1, 1, number)) for number, store in enumerate((one, two))]
        made = [await transition(one, each.run) for each in claims]
        commands = commit(one, claims[0].lease, made[0]), commit(two, claims[1].lease, made[1])
        await meet(database, one, two, *commands, first)
        assert (await rest(two, await claim(two, "p"))).status is Status.COMPLETED


@BOTH
async def test_a_cancel_and_a_parent_that_starts_children_meet(database: Database, first: str) -> None:
    async with servers(database) as (one, two):
        claimed = await begun(one, "p", fan(), LEAF, items=[1, 2, 3])
        made = await transition(one, claimed.run)
        commands = commit(one, claimed.lease, made), two.control.cancel("p")
        answers = await meet(database, one, two, *commands, first)
        if first == "one":
            assert [status for _, status in children_of(database, "p")] == ["cancelled"] * 3
        else:
            assert isinstance(answers[0], LeaseLost)
            assert children_of(database, "p") == []
        assert (status_of(database, "p"), waits(database)) == ("cancelled", [])
        assert await two.leases.claim(10) == []


@BOTH
async def test_a_cancel_and_a_childs_end_meet(database: Database, first: str) -> None:
    async with servers(database) as (one, two):
        await parked(one, "p", fan(), LEAF, items=[1, 2])
        child = await claim(one, child_id("p", 1, 1, 0))
        made = await transition(one, child.run)
        answers = await meet(database, one, two, commit(one, child.lease, made), two.control.cancel("p"), first)
        statuses = [status for _, status in children_of(database, "p")]
        assert statuses == (["completed", "cancelled"] if first == "one" else ["cancelled"] * 2)
        assert isinstance(answers[0], LeaseLost) is (first == "two")
        assert await two.leases.claim(10) == []
        for run_id, _ in children_of(database, "p"):
            assert events_of(database, run_id)[-1] in ("run_completed", "run_cancelled")


@BOTH
async def test_a_cancel_of_a_child_and_its_parents_parking_meet(database: Database, first: str) -> None:
    async with servers(database) as (one, two):
        await parked(one, "p", fan(), LEAF, items=[1, 2])
        claimed = await _looked_after(database, one)
        made = await transition(one, claimed.run)
        commands = commit(one, claimed.lease, made), two.control.cancel(child_id("p", 1, 1, 1))
        await meet(database, one, two, *commands, first)
        assert (await rest(two, await claim(two, "p"))).status is Status.FAILED
        assert [status for _, status in children_of(database, "p")] == ["cancelled"] * 2


@BOTH
async def test_a_pause_and_the_step_that_it_meets(database: Database, first: str) -> None:
    loop = graph({"start_node": "a", "nodes": {"a": "add"}, "edges": {"a": "a"}})

    async with servers(database) as (one, two):
        claimed = await begun(one, "r", loop)
        made = await transition(one, claimed.run)
        commands = commit(one, claimed.lease, made), two.control.pause("r")
        run, told = await meet(database, one, two, *commands, first)
        assert told == "running"
        assert run.status is (Status.RUNNING if first == "one" else Status.PAUSED)
        if run.status is Status.RUNNING:
            assert (await carry(one, Claimed(claimed.lease, run))).run.status is Status.PAUSED
        assert run_of(database, "r", "status", "pause_asked", "due_at") == ("paused", 0, None)


@BOTH
async def test_a_pause_and_a_signal_meet_at_a_run_that_waits(database: Database, first: str) -> None:
    async with servers(database) as (one, two):
        await parked(one, "r", APPROVAL)
        await meet(database, one, two, one.control.pause("r"), two.signals.send("r", "ok", "1"), first)
        assert run_of(database, "r", "status", "due_at") == ("paused", None)
        await two.control.resume("r")
        assert (await rest(one, await claim(one, "r"))).status is Status.COMPLETED


@BOTH
async def test_two_servers_resume_at_once_and_one_of_them_has(database: Database, first: str) -> None:
    async with servers(database) as (one, two):
        await queue(one, "r", LEAF)
        await one.control.pause("r")
        commands = one.control.resume("r"), two.control.resume("r")
        answers = await meet(database, one, two, *commands, first)
        assert [str(answer) for answer in answers].count("queued") == 1
        assert events_of(database, "r") == ["run_paused", "run_resumed"]


@BOTH
async def test_the_mailbox_holds_no_more_than_it_may_when_two_servers_fill_it(database: Database, first: str) -> None:
    async with servers(database) as (one, two):
        await queue(one, "r", APPROVAL)
        await asyncio.gather(*(one.signals.send("r", "x", "1") for _ in range(MAILBOX_MAX - 1)))
        commands = one.signals.send("r", "ok", "1"), two.signals.send("r", "ok", "1")
        answers = await meet(database, one, two, *commands, first)
        assert [answer is True for answer in answers] == [first == "one", first == "two"]
        assert ask(database, "SELECT count(*) FROM signals") == [(MAILBOX_MAX,)]


# Many at once.


async def test_servers_that_end_each_others_children_in_batches_lose_no_wake_up(database: Database) -> None:
    """In each batch are children of the same parents, in opposite orders: whoever is undone is done again."""

    async with servers(database) as (one, two):
        names = [f"p{number}" for number in range(10)]
        for name in names:
            await parked(one, name, fan(), LEAF, items=[1, 2])
        ends: dict[str, list[Any]] = {"one": [], "two": []}
        for store, key, number, order in ((one, "one", 0, 1), (two, "two", 1, -1)):
            for name in names[::order]:
                claimed = await claim(store, child_id(name, 1, 1, number))
                ends[key].append((claimed.lease, await transition(store, claimed.run)))
        with gathering(one), gathering(two):
            tasks: list[Any] = [
                asyncio.ensure_future(commit(store, *end))
                for store, key in ((one, "one"), (two, "two"))
                for end in ends[key]
            ]
            await until_async(lambda: len(one._writer._waiting) == len(two._writer._waiting) == 10)
        await asyncio.wait_for(asyncio.gather(*tasks), 15)
        woken = sorted(each.run.id for each in await one.leases.claim(100))
        assert woken == names


async def test_commands_that_lock_each_other_out_are_all_done(database: Database) -> None:
    """Parents' cancels and their children's ends, in batches whose orders are opposite: nothing hangs."""

    async with servers(database) as (one, two):
        names = [f"p{number}" for number in range(6)]
        for name in names:
            await parked(one, name, fan(), LEAF, items=[1, 2])
        claims = [await claim(one, child_id(name, 1, 1, 0)) for name in names]
        ends = [(each.lease, await transition(one, each.run)) for each in claims]
        with gathering(one), gathering(two):
            tasks: list[Any] = [asyncio.ensure_future(commit(one, *end)) for end in ends]
            tasks += [asyncio.ensure_future(one.signals.send(name, "x", "1")) for name in names]
            tasks += [asyncio.ensure_future(two.control.cancel(name)) for name in reversed(names)]
            tasks += [asyncio.ensure_future(two.control.cancel(child_id(name, 1, 1, 1))) for name in names]
            await until_async(lambda: len(one._writer._waiting) == len(two._writer._waiting) == 12)
        answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)
        assert all(answer is None for answer in answers[12:])  # Each cancel.
        for name in names:
            assert status_of(database, name) == "cancelled"
            assert {status for _, status in children_of(database, name)} <= {"completed", "cancelled"}
            for run_id, _ in [(name, ""), *children_of(database, name)]:
                events_of(database, run_id)
        assert waits(database) == []


async def test_a_whole_tree_is_carried_by_three_servers_at_once(database: Database) -> None:
    middle = fan()

    async def carrying(store: Store) -> None:
        while status_of(database, "p") not in ("completed", "failed"):
            for claimed in await store.leases.claim(3):
                await rest(store, claimed)

    async with servers(database, 3) as stores:
        await queue(stores[0], "p", fan(middle, input=["items"], max_parallel=4), LEAF, middle, items=[1, 2, 3] * 3)
        await asyncio.wait_for(asyncio.gather(*map(carrying, stores)), 25)
        assert status_of(database, "p") == "completed"
        [(statuses, count)] = ask(database, "SELECT string_agg(DISTINCT status, ','), count(*) FROM runs")
        assert (statuses, count) == ("completed", 1 + 9 + 81)
        assert waits(database) == []
