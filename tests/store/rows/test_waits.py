"""What parks a run: it holds no lease, is woken by whatever comes first, and nothing that comes is missed."""

from __future__ import annotations

import pytest

from service.core.moves import NoSignal, Received
from service.core.next_move import next_move
from service.core.run import WaitKind
from service.core.transitions import Status
from service.store.database.protocol import Database
from tests.support.store.carrying import (
    AGAIN,
    APPROVAL,
    BOOM,
    HASTY,
    LEAF,
    NAP,
    begun,
    carry,
    claim,
    due,
    events_of,
    fan,
    graph,
    parked,
    queue,
    rest,
    run_of,
    waits,
)
from tests.support.store.harness import Clock, ask, opened


async def test_a_sleeping_run_is_nobodys_and_due_when_it_wakes(database: Database) -> None:
    clock = Clock()
    async with opened(database, clock) as store:
        run = await parked(store, "r", NAP)
        assert (run.status, next_move(run)) == (Status.WAITING, None)
        assert run_of(database, "r", "status", "lease_owner", "due_at") == (
            *("waiting", None),
            "2030-01-01T00:00:10.000Z",
        )
        clock.advance(9.999)
        assert await due(store) == []
        clock.advance(0.001)
        claimed = await claim(store, "r")
        assert claimed.run.waited is not None
        assert (claimed.run.waited.kind, claimed.run.waited.is_over) == (WaitKind.SLEEP, True)
        assert waits(database) == [("r", "sleep")]
        assert (await rest(store, claimed)).status is Status.COMPLETED
        assert waits(database) == []
        assert events_of(database, "r") == ["run_started", "run_waiting", "step_completed", "run_completed"]
        [step] = (await store.history.page("r", 0, 10)).items
        assert (step.started_at, step.duration_ms) == ("2030-01-01T00:00:00.000Z", 10_000)


async def test_a_claim_says_when_the_next_run_is_due(database: Database) -> None:
    clock = Clock()
    async with opened(database, clock) as store:
        await parked(store, "r", NAP)
        for seconds, left_s in [(0, 1.0), (9.25, 0.75), (0.5, 0.25)]:
            clock.advance(seconds)
            assert (await due(store), store.leases.next_due_s) == ([], left_s)
        clock.advance(0.25)
        assert len(await store.leases.claim(1)) == 1
        assert store.leases.next_due_s == 0.0  # As many as were asked for: there may be more.


async def test_a_run_sleeps_until_the_moment_that_its_state_holds(database: Database) -> None:
    nap = graph({"start_node": "a", "nodes": {"a": {"sleep": {"until": "t"}}}})

    clock = Clock()
    async with opened(database, clock) as store:
        await parked(store, "r", nap, t="2030-01-01T00:01:00")
        await parked(store, "past", nap, t=0)
        assert await due(store) == ["past"]
        assert run_of(database, "r", "due_at") == ("2030-01-01T00:01:00.000Z",)
        assert (await parked(store, "bad", nap, t="soon")).status is Status.FAILED


async def test_whoever_takes_a_run_over_knows_how_long_it_has_waited(database: Database) -> None:
    clock = Clock()
    async with opened(database, clock) as store:
        await parked(store, "r", HASTY)
        await store.signals.send("r", "other", "1")
        await store.control.pause("r")
        clock.advance(30)
        assert await store.control.resume("r") == "waiting"
        assert run_of(database, "r", "due_at") == ("2030-01-01T00:01:00.000Z",)
        await store.signals.send("r", "ok", "1")
        await claim(store, "r")
        await store.leases.seize()  # Its server is gone, and has committed nothing.
        clock.advance(40)
        claimed = await claim(store, "r")
        assert claimed.run.waited is not None
        assert claimed.run.waited.is_over
        assert claimed.run.waited.since_us == 1893456000 * 1_000_000
        assert (await rest(store, claimed)).state.to_object() == {"ok": 1}


async def test_a_backoff_is_a_wait_and_the_attempts_count_on(database: Database) -> None:
    clock = Clock()
    async with opened(database, clock) as store:
        claimed = await carry(store, await begun(store, "r", AGAIN), BOOM)
        assert (claimed.run.status, waits(database)) == (Status.WAITING, [("r", "backoff")])
        clock.advance(10)
        again = await claim(store, "r")
        assert (again.run.attempt, again.run.failures) == (2, 1)
        await store.leases.release(again.lease, interrupted=True)
        third = await claim(store, "r")
        assert (third.run.attempt, third.run.failures) == (3, 1)
        assert (await carry(store, third, BOOM)).run.status is Status.FAILED
        assert waits(database) == []
        tried = ask(database, "SELECT attempt FROM attempts ORDER BY attempt")
        assert tried == [(1,), (2,), (3,)]


@pytest.mark.parametrize("late_s", [0, 1, 100])
async def test_a_signal_in_time_wins_however_late_it_is_handled(database: Database, late_s: float) -> None:
    clock = Clock()
    async with opened(database, clock) as store:
        await parked(store, "r", HASTY)
        clock.advance(60)
        await store.signals.send("r", "ok", "1")
        clock.advance(late_s)
        assert (await rest(store, await claim(store, "r"))).state.to_object() == {"ok": 1}


async def test_a_signal_that_is_late_changes_nothing_of_the_timeout_and_stays(database: Database) -> None:
    clock = Clock()
    async with opened(database, clock) as store:
        await parked(store, "r", HASTY)
        clock.advance(60.001)
        await store.signals.send("r", "ok", "1")
        run = await rest(store, await claim(store, "r"))
        assert run.status is Status.FAILED
        assert isinstance(await store.signals.oldest("r", "ok"), Received)
        # Tried anew, it takes the signal that came in between.
        await store.control.resume("r")
        assert (await rest(store, await claim(store, "r"))).status is Status.COMPLETED
        assert await store.signals.oldest("r", "ok") == NoSignal()


async def test_one_that_is_due_keeps_its_place_however_much_comes_for_it(database: Database) -> None:
    clock = Clock()
    async with opened(database, clock) as store:
        await parked(store, "first", APPROVAL)
        await store.signals.send("first", "ok", "1")
        clock.advance(1)
        await queue(store, "second", LEAF)
        clock.advance(1)
        await store.signals.send("first", "ok", "2")
        assert await due(store) == ["first", "second"]


async def test_a_paused_run_is_woken_by_nothing(database: Database) -> None:
    clock = Clock()
    async with opened(database, clock) as store:
        for name, of in {"nap": NAP, "ask": APPROVAL, "wait": AGAIN}.items():
            await parked(store, name, of) if of is not AGAIN else await carry(store, await begun(store, name, of), BOOM)
            await store.control.pause(name)
        await parked(store, "all", fan(), LEAF, items=[1])
        await store.control.pause("all")
        await store.signals.send("ask", "ok", "1")
        clock.advance(100)
        [child] = await store.leases.claim(10)
        await carry(store, child)
        assert await due(store) == []
        assert len(waits(database)) == 4
        for name in ("nap", "ask", "wait", "all"):
            assert await store.control.resume(name) == "waiting"
        assert sorted(await due(store)) == ["all", "ask", "nap", "wait"]
