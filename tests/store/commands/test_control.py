"""Cancel, pause, resume, and where a fork begins: what each does to a run in any status, and what is refused then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service.core.errors import Conflict, Invalid, LeaseLost, NotFound
from service.core.state import Changes, State
from service.core.transitions import Status
from service.store import Store
from service.store.database.protocol import Database
from tests.support.store.carrying import (
    APPROVAL,
    BOOM,
    LEAF,
    NAP,
    begun,
    carry,
    children_of,
    claim,
    events_of,
    fan,
    graph,
    parked,
    rest,
    run_of,
    setting,
    single,
    status_of,
    transition,
    waits,
)
from tests.support.store.control.commands import patched
from tests.support.store.control.statuses import MADE, paused
from tests.support.store.harness import Clock, ask, commit, dump, opened, said

LOOP = graph({"start_node": "a", "nodes": {"a": "add"}, "edges": {"a": "a"}, "max_steps": 2})
VISITED = graph({"start_node": "a", "nodes": {"a": {"tool": "add", "max_visits": 2}}, "edges": {"a": "a"}})


# What each command makes of a run, by its status before; None: refused.
CANCELLED = dict.fromkeys(("queued", "running", "waiting", "paused", "cancelled"), "cancelled")
PAUSED = dict.fromkeys(("queued", "waiting", "paused"), "paused") | {"running": "running"}
RESUMED = dict.fromkeys(("paused", "failed"), "queued")

COMMANDS: dict[str, tuple[Callable[[Store], Awaitable[Any]], dict[str, str]]] = {
    "cancel": (lambda store: store.control.cancel("r"), CANCELLED),
    "pause": (lambda store: store.control.pause("r"), PAUSED),
    "resume": (lambda store: store.control.resume("r"), RESUMED),
    "resume with a patch": (lambda store: store.control.resume("r", patched(n=1)), RESUMED),
}


@pytest.mark.parametrize("made", MADE, ids=lambda made: made.__name__)
@pytest.mark.parametrize("command", COMMANDS)
async def test_each_command_meets_each_status(database: Database, command: str, made: Any) -> None:
    do, allowed = COMMANDS[command]

    async with opened(database, Clock()) as store:
        await made(store)
        before = dump(database)
        after = allowed.get(made.__name__)
        if after is None:
            with pytest.raises(Conflict, match=f"the run is {made.__name__}"):
                await do(store)
            assert dump(database) == before
        else:
            assert await do(store) in (None, after)
            assert status_of(database, "r") == after
        with pytest.raises(NotFound):
            await (store.control.cancel if command == "cancel" else store.control.pause)("nobody")
        with pytest.raises(NotFound):
            await store.control.resume("nobody")
        assert len(events_of(database, "r")) == run_of(database, "r", "last_seq")[0]


# Cancel.


async def test_a_late_commit_of_a_cancelled_run_is_refused_with_all_that_it_would_have_done(database: Database) -> None:
    async with opened(database) as store:
        claims = [
            await begun(store, "step", LEAF),
            await begun(store, "park", NAP),
            await begun(store, "start", fan(), LEAF, items=[1, 2]),
            await begun(store, "consume", APPROVAL),
        ]
        await store.signals.send("consume", "ok", "1")
        made = [(each.lease, await transition(store, each.run)) for each in claims]
        for each in claims:
            await store.control.cancel(each.run.id)
        before = dump(database)
        for lease, late in made:
            with pytest.raises(LeaseLost):
                await commit(store, lease, late, said("late"))
            assert not await asyncio.wrap_future(store.logs.append(lease, said("late")))
            assert not await store.leases.begin(lease)
            await store.leases.release(lease, interrupted=True)
        leases = [lease for lease, _ in made]
        assert await asyncio.wrap_future(store.leases.renew(leases, as_server=False)) == leases
        assert dump(database) == before
        assert events_of(database, "park") == ["run_started", "run_cancelled"]


async def test_a_cancel_reaches_all_below_and_nobody_beside(database: Database) -> None:
    middle = single({"graph": LEAF.id, "into": "got"})

    async with opened(database) as store:
        for name in "pq":
            await parked(store, name, fan(middle), LEAF, middle, items=[1, 2])
            for child, _ in children_of(database, name):
                await rest(store, await claim(store, child))
        [first, second] = [child for child, _ in children_of(database, "p")]
        [(leaf, _)] = children_of(database, first)
        await rest(store, await claim(store, leaf))
        await rest(store, await claim(store, first))
        await store.control.cancel("p")
        assert [status for _, status in children_of(database, "p")] == ["completed", "cancelled"]
        assert [status for _, status in children_of(database, second)] == ["cancelled"]
        assert [status for _, status in children_of(database, "q")] == ["waiting", "waiting"]
        assert status_of(database, leaf) == "completed"
        assert [run_id for run_id, _ in waits(database)].count("p") == 0
        assert events_of(database, second)[-1] == "run_cancelled"


async def test_a_cancelled_child_fails_its_parent(database: Database) -> None:
    async with opened(database) as store:
        await parked(store, "p", fan(), LEAF, items=[1, 2])
        (_, _), (child, _) = children_of(database, "p")
        await store.control.cancel(child)
        claimed = await carry(store, await claim(store, "p"))
        assert claimed.run.status is Status.FAILED
        error = (await store.runs.get("p")).error
        assert error is not None
        assert f'"child_failed","message":"child 1 cancelled (run {child})"' in error
        assert [status for _, status in children_of(database, "p")] == ["cancelled"] * 2


# Pause.


async def test_a_pause_of_a_running_run_takes_effect_with_its_step(database: Database) -> None:
    async with opened(database) as store:
        claimed = await begun(store, "r", LOOP)
        assert await store.control.pause("r") == "running"
        assert await store.control.pause("r") == "running"
        assert await asyncio.wrap_future(store.logs.append(claimed.lease, said("goes on")))
        claimed = await carry(store, claimed)
        assert (claimed.run.status, claimed.run.step) == (Status.PAUSED, 1)
        assert events_of(database, "r") == ["run_started", "log", "step_completed", "run_paused"]
        with pytest.raises(LeaseLost):
            await commit(store, claimed.lease, await transition(store, claimed.run._replace(status=Status.RUNNING)))
        assert run_of(database, "r", "lease_owner", "due_at", "pause_asked") == (None, None, 0)


async def test_a_pause_that_is_withdrawn_leaves_the_run_to_its_server(database: Database) -> None:
    async with opened(database) as store:
        claimed = await begun(store, "r", LOOP)
        await store.control.pause("r")
        assert await store.control.resume("r") == "running"
        with pytest.raises(Conflict, match="the run is running"):
            await store.control.resume("r")
        assert (await carry(store, claimed)).run.status is Status.RUNNING


async def test_a_pause_of_a_run_that_ends_with_its_step_comes_too_late(database: Database) -> None:
    async with opened(database) as store:
        for name, outcome, status in (("r", None, Status.COMPLETED), ("s", BOOM, Status.FAILED)):
            claimed = await begun(store, name, LEAF)
            await store.control.pause(name)
            assert (await carry(store, claimed, outcome)).run.status is status
        assert await store.control.resume("s") == "queued"
        assert (await rest(store, await claim(store, "s"))).status is Status.COMPLETED


async def test_a_run_is_paused_where_its_server_stops_or_dies(database: Database) -> None:
    async with opened(database) as store:
        released, dead = await begun(store, "released", LOOP), await begun(store, "dead", LOOP)
        for each in (released, dead):
            await store.control.pause(each.run.id)
        await store.leases.release(released.lease, interrupted=True)
        assert status_of(database, "released") == "paused"
        await store.leases.seize()
        # The step that was going on is made by another server, and then it rests.
        assert (await carry(store, await claim(store, "dead"))).run.status is Status.PAUSED
        assert await store.leases.claim(10) == []


async def test_a_run_that_parks_while_a_pause_is_asked_keeps_its_wait_and_its_time(database: Database) -> None:
    clock = Clock()
    async with opened(database, clock) as store:
        claimed = await begun(store, "r", NAP)
        await store.control.pause("r")
        assert (await carry(store, claimed)).run.status is Status.PAUSED
        assert waits(database) == [("r", "sleep")]
        clock.advance(4)
        assert await store.control.resume("r") == "waiting"
        assert run_of(database, "r", "due_at") == ("2030-01-01T00:00:10.000Z",)
        assert events_of(database, "r") == ["run_started", "run_waiting", "run_paused", "run_resumed"]


# Limits, and resume.


async def test_a_run_at_its_limit_is_paused_and_goes_on_with_another(database: Database) -> None:
    async with opened(database) as store:
        assert (await rest(store, await begun(store, "r", LOOP))).step == 2
        why = await store.history.why("r")
        assert (why.run.status, why.paused_because) == ("paused", "reached max_steps: 2 of 2 steps")
        assert await store.control.resume("r") == "queued"
        assert (await rest(store, await claim(store, "r"))).step == 2
        assert await store.control.resume("r", None, 3) == "queued"
        assert (await rest(store, await claim(store, "r"))).step == 3
        assert await store.control.resume("r", patched(n=1), 5) == "queued"
        run = await rest(store, await claim(store, "r"))
        assert (run.step, run.patches) == (6, 1)  # The patch is a step that counts for no limit.


async def test_resuming_counts_the_visits_of_that_node_anew(database: Database) -> None:
    async with opened(database) as store:
        for step in (2, 4):
            claimed = await begun(store, "r", VISITED) if step == 2 else await claim(store, "r")
            run = await rest(store, claimed)
            assert (run.status, run.step, run.visits) == (Status.PAUSED, step, {"a": 2})
            assert ask(database, "SELECT node, count FROM visits") == [("a", 2)]
            await store.control.resume("r")
            assert ask(database, "SELECT node, count FROM visits") == []


def test_a_failed_run_is_tried_again_at_its_node_with_a_fresh_budget(database: Database) -> None:
    twice = single({"tool": "add", "retry": {"max_attempts": 2, "backoff_s": 0}})

    async def scenario() -> None:
        async with opened(database, Clock()) as store:
            claimed = await carry(store, await begun(store, "r", twice), BOOM)
            for attempt in (2, 3, 4):
                claimed = await claim(store, "r")
                assert claimed.run.attempt == attempt
                assert (await carry(store, claimed, BOOM)).run.status is [Status.FAILED, Status.WAITING][attempt % 2]
                if attempt == 2:
                    assert await store.control.resume("r") == "queued"
                    assert run_of(database, "r", "error", "finished_at", "failures") == (None, None, 0)
            await store.control.resume("r", patched(n=1))
            claimed = await claim(store, "r")
            assert (claimed.run.attempt, claimed.run.step, claimed.run.state.to_object()) == (1, 1, {"n": 1})
            assert (await rest(store, claimed)).status is Status.COMPLETED
            first, second = (await store.history.page("r", 0, 10)).items
            assert (first.node, first.attempt, first.attempts) == (None, 0, ())
            assert (first.reason, first.next_node, second.node) == ("patch", "a", "a")
            assert [each.attempt for each in second.attempts] == [1]
            assert events_of(database, "r")[-4:] == ["step_completed", "run_resumed", "step_completed", "run_completed"]


async def test_a_patch_that_fits_no_state_changes_nothing(database: Database) -> None:
    def bad(_state: State) -> Changes:
        raise Invalid.at("/patch", "no")

    async with opened(database) as store:
        await paused(store)
        before = dump(database)
        with pytest.raises(Invalid):
            await store.control.resume("r", bad, 7)
        assert dump(database) == before


async def test_a_patch_of_a_run_that_waits_begins_its_node_anew(database: Database) -> None:
    async with opened(database) as store:
        await parked(store, "p", fan(), LEAF, items=[1, 2])
        await store.control.pause("p")
        assert await store.control.resume("p", patched(items=[7])) == "queued"
        assert [status for _, status in children_of(database, "p")] == ["cancelled"] * 2
        assert waits(database) == []
        await rest(store, await claim(store, "p"))
        new = children_of(database, "p")[-1][0]
        claimed = await claim(store, new)
        await carry(store, claimed, setting(claimed.run, n=1))
        run = await rest(store, await claim(store, "p"))
        assert run.state.to_object()["got"] == [{"item": 7, "index": 0, "n": 1}]
