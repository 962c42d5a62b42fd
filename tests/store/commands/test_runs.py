"""Starting a run is a row on disk, once; pages of runs, graphs and steps lead through all of them, once each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import product
from typing import Any

import pytest

from service.core.errors import Conflict, Invalid, NotFound
from service.core.validation import read_graph
from service.store import Store
from service.store.database.protocol import Database
from service.store.queries.pages import PAGE_BYTES_MAX
from service.store.queries.runs.filter import RunFilter
from service.store.rows.records import Page
from tests.support.store.filters import filter_of
from tests.support.store.harness import (
    COUNTER,
    Clock,
    ask,
    claim_one,
    commit,
    dump,
    key_of,
    opened,
    start,
    start_of,
    started,
    success,
    walk,
)


def graph_named(name: str) -> Any:
    return read_graph({**COUNTER.document(), "name": name}, ["add"])


async def through(page: Callable[[Any], Awaitable[Page]]) -> list[Any]:
    """All items, cursor by cursor."""
    found: list[Any] = []
    cursor = None
    while True:
        got = await page(cursor)
        found += got.items
        if got.next_cursor is None:
            return found
        assert got.items
        cursor = got.next_cursor


def test_a_run_that_was_started_is_there_after_the_store_has_closed(database: Database) -> None:
    async def begin() -> None:
        async with opened(database) as store:
            await start(store, "r", tags={"b": "1", "a:": "é"})

    async def look() -> None:
        async with opened(database) as store:
            record, state, lines = await store.runs.whole("r", 0, 10)
            assert (record.status, record.step, record.current_node, record.last_seq) == ("queued", 0, "a", 0)
            assert (record.tags, state.to_text(), lines) == ('{"b":"1","a:":"é"}', '{"n":0}', [])
            assert (record.started_at, record.finished_at, record.error) == (None, None, None)

    asyncio.run(begin())
    asyncio.run(look())


async def test_the_same_key_and_body_give_the_same_run_and_another_body_is_a_conflict(database: Database) -> None:
    async with opened(database) as store:
        await store.graphs.add(COUNTER)
        key = key_of("k")
        assert await store.runs.start(start_of("first"), key) == ("first", True)
        assert await store.runs.start(start_of("second"), key) == ("first", False)
        before = dump(database)
        with pytest.raises(Conflict):
            await store.runs.start(start_of("third"), key_of("k", "another body"))
        assert dump(database) == before
        assert await store.runs.start(start_of("fourth"), key_of("another key")) == ("fourth", True)
        assert [run.run_id for run in (await store.runs.page(filter_of(), 10)).items].count("second") == 0


async def test_of_many_starts_with_one_key_at_once_one_is_new(database: Database) -> None:
    async with opened(database) as store:
        await store.graphs.add(COUNTER)
        answers = await asyncio.gather(*(store.runs.start(start_of(f"r{n}"), key_of("k")) for n in range(20)))
        assert {run_id for run_id, _ in answers} == {"r0"}
        assert [new for _, new in answers].count(True) == 1


async def test_a_start_repeated_after_an_unknown_outcome_is_one_start(database: Database) -> None:
    async with opened(database) as store:
        await store.graphs.add(COUNTER)
        for key in (None, key_of("k")):
            run_id = "with key" if key else "without"
            first = start_of(run_id, tags={"a": "b"})
            assert await store.runs.start(first, key) == (run_id, True)
            before = dump(database)
            assert await store.runs.start(first, key) == (run_id, True)
            assert dump(database) == before


async def test_a_refused_start_writes_nothing_and_uses_no_key(database: Database) -> None:
    async with opened(database) as store:
        before = dump(database)
        with pytest.raises(NotFound):
            await store.runs.start(start_of("r"), key_of("k"))
        assert dump(database) == before
        await store.graphs.add(COUNTER)
        assert await store.runs.start(start_of("r"), key_of("k", "another body")) == ("r", True)


async def test_the_same_graph_is_stored_once(database: Database) -> None:
    async with opened(database) as store:
        assert await asyncio.gather(*(store.graphs.add(COUNTER) for _ in range(3))) == [True, False, False]
        record = await store.graphs.get(COUNTER.id)
        assert (record.graph_id, record.name, record.definition) == (COUNTER.id, "", COUNTER.text)


async def test_what_is_not_there_is_not_found(database: Database) -> None:
    async with opened(database) as store:
        await start(store, "r")
        reads: list[Callable[[str], Awaitable[Any]]] = [
            store.runs.get,
            lambda run_id: store.runs.whole(run_id, 0, 1),
            lambda run_id: store.history.page(run_id, 0, 1),
            store.graphs.get,
        ]
        for run_id, read in product(["nope", "", "r' OR 1=1 --", "😀"], reads):
            with pytest.raises(NotFound):
                await read(run_id)


async def test_pages_of_runs_lead_through_all_that_a_filter_lets_pass_newest_first(
    database: Database, clock: Clock
) -> None:
    async with opened(database, clock) as store:
        made = []
        for number, (name, tag) in enumerate(list(product("xy", "pqr")) * 2):
            # Some of one moment: their ids decide.
            clock.advance(number % 3 == 0)
            graph = graph_named(name)
            await start(store, f"{number:02}", graph, tags={"t": tag, "n": name})
            made.append((f"{number:02}", graph.id, f"t:{tag}"))
        for claimed in await store.leases.claim(5):
            await commit(store, claimed.lease, success(claimed.run, n=1000))
        statuses = {run_id: "completed" if run_id < "05" else "queued" for run_id, _, _ in made}
        each = product((None, "queued", "failed"), (None, made[0][1], "?"), (None, "t:q", "t"), (1, 3, 100))
        for *values, limit in each:
            which = filter_of(*values)
            got = await through(partial(_page_of_runs, store, which, limit))
            assert [record.run_id for record in got] == [
                run_id
                for run_id, graph_id, tagged in reversed(made)
                if values[0] in (None, statuses[run_id])
                and values[1] in (None, graph_id)
                and values[2] in (None, tagged)
            ]


async def test_pages_of_graphs_lead_through_all_newest_first(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        made = [graph_named(str(number)) for number in range(7)]
        for graph in made:
            clock.advance(1)
            await store.graphs.add(graph)
        got = await through(lambda cursor: store.graphs.page(3, cursor))
        assert [record.graph_id for record in got] == [graph.id for graph in reversed(made)]


async def test_a_run_that_comes_while_pages_are_read_shifts_nothing(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        for number in range(4):
            clock.advance(1)
            await start(store, str(number))
        first = await store.runs.page(filter_of(), 2)
        clock.advance(1)
        await start(store, "new")
        second = await store.runs.page(filter_of(), 2, first.next_cursor)
        assert [record.run_id for record in (*first.items, *second.items)] == list("3210")
        assert second.next_cursor is None


async def test_a_cursor_outlives_its_run(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        for number in range(4):
            clock.advance(1)
            await start(store, str(number))
        first = await store.runs.page(filter_of(), 2)
        await store.control.cancel("2")
        await store.deletions.mark("2")
        await store.deletions.sweep(["2"], 1000)
        assert ask(database, "SELECT count(*) FROM runs") == [(3,)]
        second = await store.runs.page(filter_of(), 2, first.next_cursor)
        assert [record.run_id for record in second.items] == ["1", "0"]


async def test_a_cursor_that_we_never_gave_is_invalid(database: Database) -> None:
    cursors = ["nope", "", "é", "2026-W01-1/r", "2026-02-30T00:00:00.000Z/r", "2026-01-01T00:00:00.000Z"]
    async with opened(database) as store:
        await start(store, "r")
        for cursor in cursors:
            for page in (store.runs.page(filter_of(), 10, cursor), store.graphs.page(10, cursor)):
                with pytest.raises(Invalid) as refused:
                    await page
                assert [fault.pointer for fault in refused.value.faults] == ["/cursor"]


async def test_pages_of_steps_lead_through_all(database: Database) -> None:
    async with opened(database) as store:
        await walk(store, await started(store), [{"n": number} for number in range(1, 8)])
        for limit in (1, 3, 7, 100):
            got = await through(partial(_page_of_steps, store, limit))
            assert [step.step for step in got] == list(range(1, 8))
        for after_step in (7, 8, 2**63 - 1):
            assert await store.history.page("r", after_step, 10) == Page((), None)


async def _page_of_runs(store: Store, which: RunFilter, limit: int, cursor: str | None) -> Page:
    return await store.runs.page(which, limit, cursor)


async def _page_of_steps(store: Store, limit: int, cursor: int | None) -> Page:
    return await store.history.page("r", cursor or 0, limit)


async def sizes_of_pages(store: Store) -> list[int]:
    sizes: list[int] = []
    cursor: int | None = 0
    while cursor is not None:
        page = await store.history.page("r", cursor, 100)
        sizes.append(len(page.items))
        cursor = page.next_cursor
    return sizes


async def test_a_page_of_steps_ends_early_when_their_changes_grow_large(database: Database) -> None:
    async with opened(database) as store:
        third, more = "x" * (PAGE_BYTES_MAX // 3), "y" * (PAGE_BYTES_MAX + 1)
        states = [{"n": 1, "b": third}, {"n": 2, "b": third}, {"n": 3, "b": third + "."}, {"n": 4, "b": third}]
        states += [{"n": 5, "b": more}, {"n": 6, "b": more}, {"n": 7, "b": ""}, {"n": 8, "b": ""}]
        await walk(store, await started(store), states)
        # Step 2 changed little: 1 to 3 fit with two thirds, 4 alone, 5 is too large and alone.
        assert await sizes_of_pages(store) == [3, 1, 1, 3]


async def test_a_page_of_steps_ends_early_when_their_decisions_grow_large(database: Database) -> None:
    contains = {"to": "a", "condition": {"key": "big", "op": "contains", "value": "x"}}
    graph = read_graph({"start_node": "a", "nodes": {"a": "add"}, "edges": {"a": contains}}, ["add"])

    async with opened(database) as store:
        await start(store, "r", graph)
        # Every step records the value that it compared, though it changed but a counter.
        big = "x" * (PAGE_BYTES_MAX // 2 - 1000)
        await walk(store, await claim_one(store), [{"n": number, "big": big} for number in range(5)])
        assert await sizes_of_pages(store) == [2, 2, 1]


async def test_a_filter_finds_the_runs_of_one_tag_wherever_colons_stand(database: Database) -> None:
    tags = {
        "inner": {"a": "b:c"},
        "outer": {"a:b": "c"},
        "both": {"x": "y", "a": "b:c", "a:b": "c"},
        "empty key": {"": "a:b:c"},
        "empty value": {"a:b:c": ""},
        "backslash": {"a\\": "b:c"},
        "quoted": {'"a': 'b",:c', "a:b": 'c",'},
        "hidden": {"x": ',"a":"b:c"', "a:b": "c"},
    }

    async with opened(database) as store:
        for run_id, each in tags.items():
            await start(store, run_id, tags=each)
        for key, value in {pair for each in tags.values() for pair in each.items()}:
            written = key.replace("\\", "\\\\").replace(":", "\\:")
            found = (await store.runs.page(filter_of(tag=f"{written}:{value}"), 100)).items
            expected = {run_id for run_id, each in tags.items() if each.get(key) == value}
            assert {run.run_id for run in found} == expected, (key, value)
        first = await store.runs.page(filter_of(tag="a:b:c"), 1)
        second = await store.runs.page(filter_of(tag="a:b:c"), 1, first.next_cursor)
        assert {run.run_id for page in (first, second) for run in page.items} == {"inner", "both"}
        assert second.next_cursor is None
