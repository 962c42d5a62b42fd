"""Claims of a family: a run and its descendants, whoever else has runs that are due."""

from __future__ import annotations

import asyncio

from service.core.run import WaitKind
from service.core.transitions import Status
from service.store import Store
from service.store.database.protocol import Database
from tests.support.store.carrying import (
    APPROVAL,
    LEAF,
    NAP,
    SINGLE_CHILD,
    children_of,
    fan,
    parked,
    queue,
    rest,
    single,
)
from tests.support.store.harness import Clock, ask, opened, start


async def of_family(store: Store, run_id: str, count: int = 100) -> list[str]:
    """Claim what is due of the family, and let each come to rest; their ids."""
    claimed = await store.leases.claim(count, family=run_id)
    for each in claimed:
        await rest(store, each)
    return [each.run.id for each in claimed]


def children(database: Database, run_id: str) -> list[str]:
    return [child for child, _ in children_of(database, run_id)]


async def test_a_family_is_the_run_its_children_and_theirs_and_nobody_else(database: Database) -> None:
    async with opened(database) as store:
        middle = single({"graph": SINGLE_CHILD.id, "into": "got"})
        top = single({"graph": middle.id, "for_each": "items", "into": "got"})
        for run_id in ("other", "top"):
            await queue(store, run_id, top, LEAF, SINGLE_CHILD, middle, items=[1, 2])
        assert await of_family(store, "other") == ["other"]
        await start(store, "stranger", LEAF)
        assert await of_family(store, "top") == ["top"]
        first = children(database, "top")
        assert sorted(await of_family(store, "top")) == sorted(first)
        second = [child for run_id in first for child in children(database, run_id)]
        assert sorted(await of_family(store, "top")) == sorted(second)
        assert len(await of_family(store, "top")) == 2
        # The leaves are done: their parents join them, and theirs, and at last the run itself.
        assert sorted(await of_family(store, "top")) == sorted(second)
        assert sorted(await of_family(store, "top")) == sorted(first)
        assert await of_family(store, "top") == ["top"]
        assert (await store.runs.get("top")).status == Status.COMPLETED
        assert await of_family(store, "top") == []
        left = ask(database, "SELECT id, status FROM runs WHERE parent_id IS NULL ORDER BY id")
        assert left == [("other", "waiting"), ("stranger", "queued"), ("top", "completed")]
        assert set(ask(database, "SELECT status FROM runs WHERE parent_id = 'other'")) == {("queued",)}


async def test_no_more_of_a_family_are_claimed_than_there_is_room_for_the_longest_due_first(database: Database) -> None:
    async with opened(database) as store:
        await parked(store, "p", fan(max_parallel=3), LEAF, items=[*range(5)])
        due = [run_id for (run_id,) in ask(database, "SELECT id FROM runs WHERE parent_id = 'p' ORDER BY due_at, id")]
        assert await of_family(store, "p", count=2) == due[:2]
        # Each end has made the parent due, behind the child that was due before.
        assert await of_family(store, "p", count=1) == due[2:]


async def test_the_next_claim_is_when_one_of_the_family_is_due(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        await parked(store, "p", fan(NAP), NAP, items=[1])
        await start(store, "stranger", NAP)
        [child] = children(database, "p")
        assert await of_family(store, "p") == [child]
        clock.advance(9.5)
        assert await of_family(store, "p") == []
        assert store.leases.next_due_s == 0.5
        clock.advance(0.5)
        assert await of_family(store, "p") == [child]


async def test_two_servers_share_a_family(server_database: Database) -> None:
    async with opened(server_database) as one, opened(server_database, server_id="two") as two:
        await parked(one, "p", fan(), LEAF, items=[*range(20)])
        claims = [one.leases.claim(10, family="p"), two.leases.claim(10), one.leases.claim(10, family="p")]
        claimed = [each.run.id for some in await asyncio.gather(*claims[:2]) for each in some]
        claimed += [each.run.id for each in await claims[2]]
        assert len(set(claimed)) == len(claimed)
        assert set(claimed) <= set(children(server_database, "p"))


async def test_what_a_family_waits_for_is_told_with_what_somebody_has_to_do_first(
    database: Database, clock: Clock
) -> None:
    async with opened(database, clock) as store:
        await parked(store, "p", fan(APPROVAL), APPROVAL, items=[1, 2])
        asking, resting = children(database, "p")
        await store.control.pause(resting)
        await of_family(store, "p")
        held = await store.history.held("p", 10)
        assert {each.run_id: (each.status, each.kind, each.name) for each in held} == {
            asking: (Status.WAITING, WaitKind.SIGNAL, "ok"),
            resting: (Status.PAUSED, None, None),
        }
        assert all(each.needs_somebody for each in held)
        assert len(await store.history.held("p", 1)) == 1

        await parked(store, "q", fan(NAP), NAP, items=[1])
        await of_family(store, "q")
        [sleeping] = await store.history.held("q", 10)
        assert (sleeping.kind, sleeping.needs_somebody) == (WaitKind.SLEEP, False)
        assert sleeping.due_at is not None
