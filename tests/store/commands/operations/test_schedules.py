"""Schedules start one run a tick, whatever breaks, whoever looks, and however the clock is set."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from service.core.errors import NotFound
from service.core.operations.schedule import CatchUp, Overlap
from service.core.validation import read_graph
from service.store import Store
from service.store.commands.operations.ticks import TICKS_MAX
from service.store.database.protocol import Database
from service.store.database.sqlite.connections import Sqlite
from service.store.rows.operations.schedules import Plan
from service.store.rows.operations.timetable import Timetable
from tests.support.store.breaking import breaks, committed_and_cut_off, cut_off_before
from tests.support.store.harness import COUNTER, Clock, SettableClock, ask, gathering, opened, until_async

MINUTE = Timetable(None, 60)
NAMED = read_graph({"name": "nightly", "start_node": "a", "nodes": {"a": "add"}}, ["add"])
LATER = read_graph({"name": "nightly", "start_node": "b", "nodes": {"b": "add"}}, ["add"])


@pytest.fixture
def database(emptied: Database) -> Database:
    return emptied


def plan(timetable: Timetable = MINUTE, **options: Any) -> Plan:
    graph = {"graph_id": COUNTER.id, "graph_name": None}
    return Plan(**{**graph, "timetable": timetable, "state": '{"n":0}', "tags": '{"k":"v"}', **options})


@asynccontextmanager
async def scheduling(database: Database, clock: Clock, *plans: Plan) -> AsyncIterator[Store]:
    """A store with the schedules `s0`, `s1` and so on."""
    async with opened(database, clock) as store:
        await store.graphs.add(COUNTER)
        for number, each in enumerate(plans):
            await store.schedules.set(f"s{number}", each)
        yield store


async def look(store: Store) -> float:
    return await store._writer.write(store.schedules.start_due)


async def look_all(store: Store) -> None:
    while await look(store) == 0.0:
        pass


async def finish(store: Store) -> None:
    """Cancel every run, so that none is unfinished."""
    for (run_id,) in ask_runs(store):
        await store.control.cancel(run_id)


def ask_runs(store: Store) -> list[tuple[str]]:
    return ask(store._writer._database, "SELECT id FROM runs WHERE status = 'queued'")


def ticks(database: Database, name: str = "s0") -> list[str]:
    query = "SELECT schedule_tick FROM runs WHERE schedule_name = ? ORDER BY schedule_tick"
    return [tick for (tick,) in ask(database, query, name)]


def minute(number: int) -> str:
    return f"2030-01-01T{number // 60:02}:{number % 60:02}:00.000Z"


async def test_a_tick_starts_a_run_with_the_state_and_the_tags(database: Database, clock: Clock) -> None:
    async with scheduling(database, clock, plan()) as store:
        assert await look(store) == pytest.approx(60)
        assert ticks(database) == []
        clock.advance(60)
        await look(store)
        assert await look(store) == pytest.approx(60)
        [claimed] = await store.leases.claim(10)
        record = await store.runs.get(claimed.run.id)
        assert (record.schedule_name, record.schedule_tick, record.tags) == ("s0", minute(1), '{"k":"v"}')
        assert claimed.run.state.to_object() == {"n": 0}
        found = await store.schedules.get("s0")
        assert (found.next_at, found.last_at, found.last_run_id) == (minute(2), minute(1), claimed.run.id)
        assert (await store.runs.whole(claimed.run.id, 0, 1))[1].to_object() == {"n": 0}
    view = ask(database, "SELECT schedule, tick FROM v_runs")
    assert view == [("s0", minute(1))]
    [shown] = ask(database, "SELECT name, graph_id, every_s, paused, next_at, last_run_id FROM v_schedules")
    assert shown == ("s0", COUNTER.id, 60.0, 0, minute(2), claimed.run.id)


async def test_the_graph_of_a_name_is_the_latest_one_at_each_tick(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        named = plan(graph_id=None, graph_name="nightly", overlap=Overlap.START)
        with pytest.raises(NotFound):
            await store.schedules.set("s0", named)
        for graph in (NAMED, LATER):
            await store.graphs.add(graph)
            await store.schedules.set("s0", named)
            clock.advance(60)
            await look(store)
    assert ask(database, "SELECT graph_id FROM runs ORDER BY schedule_tick") == [(NAMED.id,), (LATER.id,)]


async def test_an_unfinished_run_skips_ticks_even_while_it_is_paused(database: Database, clock: Clock) -> None:
    async with scheduling(database, clock, plan(), plan(overlap=Overlap.START)) as store:
        for _ in range(3):
            clock.advance(60)
            await look(store)
        [run_id] = [run_id for (run_id,) in ask(database, "SELECT id FROM runs WHERE schedule_name = 's0'")]
        await store.control.pause(run_id)
        clock.advance(60)
        await look(store)
        assert ticks(database) == [minute(1)]
        assert ticks(database, "s1") == [minute(number) for number in (1, 2, 3, 4)]
        assert (await store.schedules.get("s0")).skipped_at == minute(4)
        await store.control.cancel(run_id)
        clock.advance(60)
        await look(store)
        assert ticks(database) == [minute(1), minute(5)]


async def test_after_a_downtime_each_schedule_catches_up_as_it_says(database: Database, clock: Clock) -> None:
    plans = [plan(catch_up=catch_up, overlap=Overlap.START) for catch_up in CatchUp]
    async with scheduling(database, clock, *plans) as store:
        clock.advance(60 * 250 + 30)
        await look_all(store)
        clock.advance(30)
        await look_all(store)
    found = {catch_up: ticks(database, f"s{number}") for number, catch_up in enumerate(CatchUp)}
    assert found == {
        CatchUp.ONE: [minute(250), minute(251)],
        CatchUp.ALL: [minute(number) for number in range(1, 252)],
        CatchUp.NONE: [minute(251)],
    }


async def test_missed_ticks_wait_for_one_another_where_runs_may_not_overlap(database: Database, clock: Clock) -> None:
    async with scheduling(database, clock, plan(catch_up=CatchUp.ALL)) as store:
        clock.advance(60 * 3 + 30)
        await look_all(store)
        assert ticks(database) == [minute(1)]
        for number in (2, 3):
            await finish(store)
            clock.advance(2)
            await look_all(store)
            assert ticks(database) == [minute(each) for each in range(1, number + 1)]


async def test_a_pause_and_a_change_of_times_move_the_next_tick(database: Database, clock: Clock) -> None:
    async with scheduling(database, clock, plan(overlap=Overlap.START)) as store:
        clock.advance(30)
        assert not await store.schedules.set("s0", plan(overlap=Overlap.START, state="{}"))
        assert (await store.schedules.get("s0")).next_at == minute(1)
        await store.schedules.pause("s0")
        clock.advance(600)
        assert await look(store) == 1.0
        assert (await store.schedules.get("s0")).next_at is None
        await store.schedules.set("s0", plan(overlap=Overlap.START, state="{}"))
        assert (await store.schedules.get("s0")).is_paused
        await store.schedules.resume("s0")
        await look(store)
        assert ticks(database) == []
        assert (await store.schedules.get("s0")).next_at == minute(11)
        await store.schedules.set("s0", plan(Timetable("*/7 * * * *", None)))
        assert (await store.schedules.get("s0")).next_at == minute(14)


async def test_a_trigger_starts_a_run_without_a_tick(database: Database, clock: Clock) -> None:
    async with scheduling(database, clock, plan()) as store:
        await store.schedules.pause("s0")
        await store.schedules.trigger("s0", "r")
        await store.schedules.trigger("s0", "r")
        record = await store.runs.get("r")
        assert (record.schedule_name, record.schedule_tick, record.status) == ("s0", None, "queued")
        assert (await store.schedules.get("s0")).last_run_id == "r"
        await store.control.cancel("r")
        await store.deletions.mark("r")
        assert (await store.schedules.get("s0")).last_run_id is None


async def test_a_deleted_schedule_starts_nothing_and_its_runs_stay(database: Database, clock: Clock) -> None:
    async with scheduling(database, clock, plan()) as store:
        clock.advance(60)
        await look(store)
        clock.advance(60)
        await store.schedules.delete("s0")
        await look(store)
        assert ticks(database) == [minute(1)]
        for command in (store.schedules.delete, store.schedules.pause, store.schedules.resume, store.schedules.get):
            with pytest.raises(NotFound):
                await command("s0")
        with pytest.raises(NotFound):
            await store.schedules.trigger("s0", "r")


async def test_a_page_is_in_the_order_of_names(database: Database, clock: Clock) -> None:
    async with scheduling(database, clock, plan(), plan(), plan()) as store:
        page = await store.schedules.page(2)
        assert ([each.name for each in page.items], page.next_cursor) == (["s0", "s1"], "s1")
        page = await store.schedules.page(2, "s1")
        assert ([each.name for each in page.items], page.next_cursor) == (["s2"], None)
        assert await store.schedules.pause_all() == 3
        assert await store.schedules.pause_all() == 0


async def test_no_tick_comes_twice_when_the_clock_is_set_back_and_none_is_lost(database: Database) -> None:
    clock = SettableClock()
    both = [plan(Timetable("* * * * *", None), overlap=Overlap.START), plan(overlap=Overlap.START)]
    async with scheduling(database, clock, *both) as store:
        clock.advance(61)
        await look_all(store)
        clock.set_by(-3600)
        for _ in range(6):
            clock.advance(30)
            await look_all(store)
        # Times of day wait until the clock shows them. Intervals go on, a tenth slower.
        assert ticks(database) == [minute(1)]
        assert ticks(database, "s1") == [minute(number) for number in (1, 2, 3)]
        await store.schedules.set("s0", plan(Timetable("*/1 * * * *", None), overlap=Overlap.START))
        clock.set_by(3600)
        clock.advance(30)
        await look_all(store)
        assert ticks(database)[0] == minute(1)
        assert len(ticks(database)) == 2


async def test_many_that_are_due_at_once_all_start(database: Database, clock: Clock) -> None:
    count = TICKS_MAX + 20
    async with scheduling(database, clock, *[plan(Timetable("0 * * * *", None))] * count) as store:
        clock.advance(3600)
        assert await look(store) == 0.0
        await look_all(store)
    assert ask(database, "SELECT count(*), count(DISTINCT schedule_name) FROM runs") == [(count, count)]


async def test_a_commit_of_unknown_outcome_starts_no_second_run(database: Database, clock: Clock) -> None:
    async with scheduling(database, clock, plan(overlap=Overlap.START)) as store:
        for number, fault in enumerate((committed_and_cut_off, cut_off_before), 1):
            clock.advance(60)
            breaking = breaks(database, store, fault)
            await look(store)
            assert breaking.remaining < 0
            assert ticks(database) == [minute(each) for each in range(1, number + 1)]
        breaks(database, store, committed_and_cut_off)
        assert await store.schedules.set("new", plan())
        breaks(database, store, committed_and_cut_off)
        await store.schedules.delete("new")
        assert ask(database, "SELECT name FROM schedules") == [("s0",)]


async def test_of_a_thousand_ticks_each_starts_one_run(database: Database, clock: Clock) -> None:
    """Three stores look at once, on PostgreSQL; COMMITs fail, committed or not; stores are left and opened again."""
    faults = itertools.cycle([committed_and_cut_off, None, cut_off_before, None])
    names = ("one", "two", "three") if database.is_shared else ("one",)
    cron = plan(Timetable("* * * * *", None), overlap=Overlap.START, catch_up=CatchUp.ALL)
    async with scheduling(database, clock, cron, plan(overlap=Overlap.START, catch_up=CatchUp.ALL)):
        pass
    passed = 0
    for _ in range(2):
        async with AsyncExitStack() as stack:
            stores = [await stack.enter_async_context(opened(database, clock, name)) for name in names]
            for _ in range(10):
                clock.advance(1500)
                passed += 25
                for store, fault in zip(stores, faults, strict=False):
                    if fault is not None:
                        await look(store)  # It connects.
                        breaks(database, store, fault)
                await asyncio.gather(*(look_all(store) for store in stores))
    assert passed == 500
    for name in ("s0", "s1"):
        assert ticks(database, name) == [minute(number) for number in range(1, passed + 1)]
    found = ask(database, "SELECT count(DISTINCT id), count(*) FROM runs")
    assert found == [(1000, 1000)]


async def test_a_look_that_waits_for_the_database_is_not_asked_for_again_at_once(file: Sqlite) -> None:
    """Or a supervisor would do nothing but ask."""
    async with opened(file) as store:
        with gathering(store):
            store.schedules.look()
            store.schedules._look_at = 0.0  # As if the time to look again had come meanwhile.
            assert store.schedules.next_look_s() > 0
        await until_async(lambda: store.schedules._look is not None and store.schedules._look.done())
