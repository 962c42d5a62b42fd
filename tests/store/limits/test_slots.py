"""Slots of limits: who gets one, in which order, and what frees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from service.core.errors import LeaseLost, NotFound
from service.core.queueing.limits import Limit
from service.core.run import WaitKind
from service.store import Store
from service.store.database.protocol import Database
from service.store.rows.records import Claimed
from tests.support.store.carrying import claim, events_of, run_of, status_of
from tests.support.store.harness import LEASE_S, Clock, ask, clean, commit, failure, opened, sql, until_async
from tests.support.store.limits.limiting import (
    LIMIT,
    asking_of,
    claim_all,
    columns_of,
    enter,
    enter_all,
    finish,
    is_in,
    queue_limited,
    waiting,
)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    database: Database = request.getfixturevalue("file" if request.param == "sqlite" else "kept")
    if request.param == "postgresql":
        clean(database)
    return database


@pytest.fixture
async def store(database: Database, clock: Clock) -> AsyncIterator[Store]:
    async with opened(database, clock) as store:
        yield store


async def three_of_which_one_is_in(store: Store) -> dict[str, Claimed]:
    """`a` has the one slot; `b` and `c` wait."""
    await store.limits.put(LIMIT, Limit(1))
    for run_id in "abc":
        await queue_limited(store, run_id)
    return await enter_all(store, *"abc")


async def test_no_more_than_max_are_in_at_once_and_the_others_wait(store: Store, database: Database) -> None:
    await store.limits.put(LIMIT, Limit(2))
    for run_id in "abc":
        await queue_limited(store, run_id)
    held = await enter_all(store, *"abc")
    assert list(held) == ["a", "b"]
    assert (waiting(database), status_of(database, "c")) == (["c"], "waiting")
    assert events_of(database, "c") == ["run_started", "run_waiting"]
    why = await store.history.why("c")
    assert why.wait is not None
    assert (why.wait.kind, why.wait.name, why.attempts) == (WaitKind.LIMIT, LIMIT, ())
    [found] = (await store.limits.page(10)).items
    assert (found.name, found.max, found.per_s, found.in_use, found.waiting) == (LIMIT, 2, None, 2, 1)
    await finish(store, held["a"])
    again = await claim_all(store)
    assert list(again) == ["c"]
    assert again["c"].run.attempt == 1
    assert is_in(await enter(store, again["c"]))
    assert events_of(database, "c") == ["run_started", "run_waiting"]
    assert ask(database, "SELECT * FROM waits") == []


async def test_an_unknown_limit_binds_nobody_but_its_slots_count_once_it_is_made(store: Store) -> None:
    for run_id in "ab":
        await queue_limited(store, run_id)
    assert list(await enter_all(store, *"ab")) == ["a", "b"]
    assert await store.limits.put(LIMIT, Limit(2)) is True
    assert (await store.limits.get(LIMIT)).in_use == 2
    await queue_limited(store, "c")
    assert await enter_all(store, "c") == {}


async def test_runs_get_slots_by_priority_and_then_by_age(store: Store, database: Database, clock: Clock) -> None:
    await store.limits.put(LIMIT, Limit(1))
    await queue_limited(store, "first")
    held = await enter_all(store, "first")
    order = {"low": -5, "old": 0, "young": 0, "high": 7}
    for run_id, priority in order.items():
        clock.advance(1)
        await queue_limited(store, run_id, priority)
        assert await enter_all(store, run_id) == {}
    assert waiting(database) == ["high", "old", "young", "low"]
    served: list[str] = []
    for _ in order:
        [claimed] = held.values()
        await finish(store, claimed)
        clock.advance(1)
        # One that comes now does not overtake those that wait.
        await queue_limited(store, f"late {len(served)}", -50)
        woken = await claim_all(store)
        assert not is_in(await enter(store, woken.pop(f"late {len(served)}")))
        [(run_id, claimed)] = woken.items()
        assert is_in(await enter(store, claimed))
        held = {run_id: claimed}
        served.append(run_id)
    assert served == ["high", "old", "young", "low"]


async def test_a_run_that_was_woken_is_not_overtaken_while_a_server_claims_it(store: Store) -> None:
    held = await three_of_which_one_is_in(store)
    await finish(store, held["a"])
    woken = await claim_all(store)
    await queue_limited(store, "d", -1)
    await queue_limited(store, "e", 1)
    new = await claim_all(store)
    assert not is_in(await enter(store, new["d"]))
    assert is_in(await enter(store, new["e"]))
    assert not is_in(await enter(store, woken["b"]))


async def test_a_run_that_nobody_claims_holds_up_the_others_for_the_length_of_a_lease(
    store: Store, database: Database, clock: Clock
) -> None:
    held = await three_of_which_one_is_in(store)
    await finish(store, held["a"])
    assert list(await store.leases.claim(1, family="nobody")) == []
    assert run_of(database, "b", "due_at") != (None,)
    await queue_limited(store, "d")
    assert not is_in(await enter(store, await claim(store, "d")))
    clock.advance(LEASE_S + 1)
    assert list(await store.leases.claim(1, family="c")) != []


@pytest.mark.parametrize("how", ["cancel", "release", "take over", "pause", "fail", "delete"])
async def test_whatever_ends_an_attempt_frees_its_slot(
    store: Store, database: Database, clock: Clock, how: str
) -> None:
    held = await three_of_which_one_is_in(store)
    claimed = held["a"]
    lease, run = claimed.lease, claimed.run
    match how:
        case "cancel":
            await store.control.cancel("a")
        case "release":
            await store.leases.release(lease, interrupted=True)
            await store.control.pause("a")
        case "pause":
            await store.control.pause("a")
            await store.leases.release(lease, interrupted=False)
        case "fail":
            await commit(store, lease, failure(run))
            assert status_of(database, "a") == "waiting"  # It is tried again later, and gives the slot back meanwhile.
        case "delete":
            await finish(store, claimed)
            await store.deletions.mark("a")
            assert (await store.deletions.sweep(["a"], 100)).is_done
            assert columns_of(database, "SELECT run_id FROM slots") == []
        case "take over":
            clock.advance(LEASE_S)
            assert list(await claim_all(store)) == ["a"]
    woken = await claim_all(store)
    assert list(woken) == ["b"]
    assert is_in(await enter(store, woken["b"]))
    assert (await store.limits.get(LIMIT)).in_use == 1


async def test_a_lost_lease_gets_no_slot(store: Store, clock: Clock) -> None:
    await store.limits.put(LIMIT, Limit(5))
    await queue_limited(store, "a")
    claimed = (await claim_all(store))["a"]
    clock.advance(LEASE_S)
    again = (await claim_all(store))["a"]
    with pytest.raises(LeaseLost):
        await enter(store, claimed)
    assert is_in(await enter(store, again))
    # The command may be executed again, and the attempt may make sure of its slot.
    for is_again in (False, True):
        assert is_in(await store.limits.acquire(asking_of(again)._replace(is_again=is_again)))
    assert (await store.limits.get(LIMIT)).in_use == 1


async def test_a_pause_and_a_resume_keep_the_place(store: Store, database: Database) -> None:
    held = await three_of_which_one_is_in(store)
    await store.control.pause("b")
    await finish(store, held["a"])
    woken = await claim_all(store)
    assert list(woken) == ["c"]
    assert is_in(await enter(store, woken["c"]))
    assert await store.control.resume("b") == "waiting"
    await queue_limited(store, "d")
    assert await enter_all(store, "d") == {}
    await finish(store, woken["c"])
    assert list(await claim_all(store)) == ["b"]
    assert events_of(database, "b").count("run_waiting") == 1


async def test_a_pause_that_was_asked_for_takes_effect_when_the_run_gets_no_slot(
    store: Store, database: Database
) -> None:
    await three_of_which_one_is_in(store)
    await queue_limited(store, "d")
    claimed = (await claim_all(store))["d"]
    await store.control.pause("d")
    assert (await enter(store, claimed)).status == "paused"
    assert events_of(database, "d")[-2:] == ["run_waiting", "run_paused"]


@pytest.mark.parametrize("change", [Limit(3), Limit(9, 60), None])
async def test_a_limit_that_is_changed_or_deleted_wakes_those_that_it_lets_in(
    store: Store, change: Limit | None
) -> None:
    await three_of_which_one_is_in(store)
    assert await claim_all(store) == {}
    if change is None:
        await store.limits.delete(LIMIT)
        with pytest.raises(NotFound):
            await store.limits.delete(LIMIT)
    else:
        assert await store.limits.put(LIMIT, change) is False
    woken = await claim_all(store)
    assert list(woken) == ["b", "c"]
    for claimed in woken.values():
        assert is_in(await enter(store, claimed))


async def test_a_limit_that_is_lowered_lets_nobody_in_until_fewer_are_in(store: Store) -> None:
    await store.limits.put(LIMIT, Limit(3))
    for run_id in "abcd":
        await queue_limited(store, run_id)
    held = await enter_all(store, *"abcd")
    await store.limits.put(LIMIT, Limit(1))
    for run_id in "ab":
        await finish(store, held[run_id])
        assert await claim_all(store) == {}
    await finish(store, held["c"])
    assert list(await claim_all(store)) == ["d"]


async def test_a_run_whose_tool_has_no_limit_any_more_waits_for_none(store: Store, database: Database) -> None:
    held = await three_of_which_one_is_in(store)
    await finish(store, held["a"])
    woken = await claim_all(store)
    assert is_in(await enter(store, woken["b"], None))
    assert waiting(database) == ["c"]
    assert (await store.limits.get(LIMIT)).in_use == 0


async def test_slots_of_attempts_that_have_ended_are_deleted_in_time(store: Store, database: Database) -> None:
    await store.limits.put(LIMIT, Limit(1000))
    for number in range(100):
        await queue_limited(store, f"{number}")
    for claimed in (await claim_all(store)).values():
        assert is_in(await enter(store, claimed))
        await finish(store, claimed)
    assert len(columns_of(database, "SELECT run_id FROM slots")) <= 70


# Periods.


async def test_as_many_begin_within_any_period_as_the_limit_says(
    store: Store, database: Database, clock: Clock
) -> None:
    await store.limits.put(LIMIT, Limit(2, 10))
    begun: list[float] = []
    for number in range(8):
        await queue_limited(store, f"{number}")
    origin = clock.now
    while len(begun) < 8:
        for claimed in (await claim_all(store)).values():
            if is_in(await enter(store, claimed)):
                begun.append((clock.now - origin).total_seconds())
                await finish(store, claimed)
        clock.advance(0.7)
    assert all(later - earlier >= 10 for earlier, later in zip(begun, begun[2:], strict=False))
    assert begun[-1] < 33  # They are due as soon as their turn comes.
    clock.advance(100)
    await queue_limited(store, "last")
    assert list(await enter_all(store, "last")) == ["last"]
    assert len(columns_of(database, "SELECT number FROM limit_starts")) <= 3
    await store.limits.delete(LIMIT)
    assert columns_of(database, "SELECT number FROM limit_starts") == []


async def test_a_deleted_run_still_counts_towards_the_period(store: Store, database: Database, clock: Clock) -> None:
    await store.limits.put(LIMIT, Limit(1, 10))
    await queue_limited(store, "a")
    await finish(store, (await enter_all(store, "a"))["a"])
    await store.deletions.mark("a")
    assert (await store.deletions.sweep(["a"], 100)).is_done
    await queue_limited(store, "b")
    assert await enter_all(store, "b") == {}
    assert columns_of(database, "SELECT run_id FROM slots") == []
    assert await claim_all(store) == {}
    [(due_at,)] = ask(database, "SELECT due_at FROM runs WHERE id = 'b'")
    assert due_at == "2030-01-01T00:00:10.050Z"
    clock.advance(10.1)
    assert list(await claim_all(store)) == ["b"]


async def test_an_attempt_that_makes_sure_of_its_slot_counts_from_then_on(store: Store, clock: Clock) -> None:
    await store.limits.put(LIMIT, Limit(2, 2))
    await queue_limited(store, "a")
    claimed = (await enter_all(store, "a"))["a"]
    assert is_in(await enter(store, claimed))  # The command was executed again: it counts once.
    assert (await store.limits.get(LIMIT)).in_use in (0, 1)  # By the clock of the database, which is another one here.
    await queue_limited(store, "b")
    assert list(await enter_all(store, "b")) == ["b"]
    for _ in range(2):  # Each time it counts once.
        clock.advance(0.8)
        assert is_in(await store.limits.acquire(asking_of(claimed)._replace(is_again=True)))
    await queue_limited(store, "c")
    clock.advance(0.5)  # `b` has left the period, and `a` has not.
    assert await enter_all(store, "c") == {}
    clock.advance(1.7)
    assert list(await enter_all(store, "c")) == ["c"]
    clock.advance(2.5)
    for run_id in "de":
        await queue_limited(store, run_id)
    assert list(await enter_all(store, "d", "e")) == ["d", "e"]
    # It has left the period meanwhile, so that others have its place.
    assert not is_in(await store.limits.acquire(asking_of(claimed)._replace(is_again=True)))


async def test_two_stores_never_give_the_same_slot(kept: Database) -> None:
    """Each server claims and asks as fast as it can, and counts who is in by itself."""
    clean(kept)
    inside: set[str] = set()
    peak, done = 0, 0

    async def serve(server_id: str) -> None:
        nonlocal peak, done
        async with opened(kept, server_id=server_id) as store:
            while done < 40:
                for claimed in await store.leases.claim(4):
                    if is_in(await enter(store, claimed)):
                        inside.add(claimed.run.id)
                        peak = max(peak, len(inside))
                        await asyncio.sleep(0)
                        inside.discard(claimed.run.id)
                        await finish(store, claimed)
                        done += 1
                await asyncio.sleep(0.001)

    async with opened(kept, server_id="zero") as store:
        await store.limits.put(LIMIT, Limit(2))
        for number in range(40):
            await queue_limited(store, f"{number:02}", number % 3)
    await asyncio.gather(*(serve(server_id) for server_id in ("one", "two", "three")))
    assert (peak <= 2, done) == (True, 40)
    assert columns_of(kept, "SELECT count(*) FROM waits") == [0]


async def test_a_slot_that_another_server_is_just_giving_is_seen(kept: Database, clock: Clock) -> None:
    clean(kept)
    async with opened(kept, clock) as store:
        await store.limits.put(LIMIT, Limit(1))
        for run_id in "ab":
            await queue_limited(store, run_id)
        claimed = await claim_all(store)
        with sql(kept) as other:
            other.execute("BEGIN")
            other.execute("SELECT * FROM limits FOR NO KEY UPDATE")
            other.execute("INSERT INTO slots SELECT id, 'api', lease_token, step, now() FROM runs WHERE id = 'a'")
            asking = asyncio.create_task(enter(store, claimed["b"]))
            await until_async(lambda: asking.done() or store._writer._blocked_writes._here)
            other.execute("COMMIT")
        assert not is_in(await asking)
