"""Lists of runs by every filter, on both databases: what they select, in which order, and how they are counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.core.run import WaitKind
from service.core.state import State
from service.core.validation import read_graph
from service.store import Store
from service.store.commands.start import Start
from service.store.database.protocol import Database
from service.store.queries.runs import filter as run_filter
from service.store.queries.runs import listing as run_list
from service.store.queries.runs.filter import RunFilter
from tests.support.store.carrying import APPROVAL, NAP, fan, parked
from tests.support.store.harness import BYTES_MAX, Clock, ask, commit, failure, opened, start, success

LONG_NAME = "n" * 3000


def versioned(number: int, name: str = "versions") -> Any:
    return read_graph({"name": name, "start_node": "a", "max_steps": number, "nodes": {"a": "add"}}, ["add"])


@pytest.fixture
async def store(database: Database, clock: Clock) -> AsyncIterator[Store]:
    async with opened(database, clock) as made:
        yield made


async def ids(store: Store, **filters: Any) -> list[str]:
    return [run.run_id for run in (await store.runs.page(RunFilter(**filters), 100)).items]


async def finish(store: Store, run_id: str, clock: Clock, *, fails: bool = False, **options: Any) -> None:
    """Start a run, and end it."""
    clock.advance(1)
    await start(store, run_id, **options)
    claimed = next(each for each in await store.leases.claim(100) if each.run.id == run_id)
    await commit(store, claimed.lease, failure(claimed.run) if fails else success(claimed.run, n=1000))


async def test_statuses_and_tags_select_runs(store: Store, clock: Clock) -> None:
    await finish(store, "1", clock, tags={"team": "data", "tier": "a"})
    await finish(store, "2", clock, tags={"team": "data", "tier": "b"}, fails=True)
    await finish(store, "3", clock, tags={"team": "web"})
    clock.advance(1)
    await start(store, "4", tags={"team": "data:x"})
    assert await ids(store) == ["4", "3", "2", "1"]
    assert await ids(store, statuses=("failed", "queued")) == ["4", "2"]
    assert await ids(store, statuses=("completed", "failed")) == ["3", "2", "1"]
    assert await ids(store, tags=("team:data",)) == ["2", "1"]
    assert await ids(store, tags=("team:data", "tier:b")) == ["2"]
    assert await ids(store, tags=("team:data",), without_tags=("tier:b",)) == ["1"]
    assert await ids(store, without_tags=("team:data", "team:data:x")) == ["3"]
    assert await ids(store, statuses=("queued",), tags=("team:data:x",)) == ["4"]
    assert await ids(store, statuses=("queued",), tags=(r"team\:data:x",)) == []
    assert await ids(store, statuses=("completed",), tags=("team:web",)) == ["3"]


async def test_the_name_of_a_graph_selects_all_its_versions(store: Store, clock: Clock) -> None:
    graphs = [versioned(1), versioned(2), versioned(3, LONG_NAME), versioned(4, LONG_NAME[:-1] + "m")]
    for number, graph in enumerate(graphs):
        await finish(store, str(number), clock, graph=graph)
    assert await ids(store, graph_name="versions") == ["1", "0"]
    assert await ids(store, graph_name="versions", statuses=("completed",)) == ["1", "0"]
    assert await ids(store, graph_name="versions", graph_id=graphs[0].id) == ["0"]
    assert await ids(store, graph_name="versions", graph_id=graphs[2].id) == []
    assert await ids(store, graph_name="none") == []
    assert await ids(store, graph_name=LONG_NAME) == ["2"]


async def test_a_name_of_many_graphs_selects_them_all(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_filter, "BRANCHES_MAX", 2)
    for number in range(1, 6):
        await finish(store, str(number), clock, graph=versioned(number))
    await finish(store, "other", clock, graph=versioned(9, "other"))
    assert await ids(store, graph_name="versions") == ["5", "4", "3", "2", "1"]
    assert await ids(store, graph_name="versions", statuses=("completed", "failed")) == ["5", "4", "3", "2", "1"]
    assert (await store.runs.counts(RunFilter(graph_name="versions")))["completed"] == 5
    assert await ids(store, graph_name="versions", statuses=("failed",)) == []
    for number in range(1, 6):
        clock.advance(1)
        await start(store, f"new-{number}", graph=versioned(number), tags={"k": "v"})
    queued = [f"new-{number}" for number in (5, 4, 3, 2, 1)]
    assert await ids(store, graph_name="versions", statuses=("queued",)) == queued
    assert await ids(store, graph_name="versions", tags=("k:v",)) == queued
    assert await ids(store, tags=("k:v", "k:w")) == []


async def test_parents_forks_waits_times_and_prefixes_select_runs(store: Store, clock: Clock) -> None:
    await parked(store, "nap", NAP)
    clock.advance(1)
    await parked(store, "approval", APPROVAL)
    clock.advance(1)
    await parked(store, "parent", fan(APPROVAL), APPROVAL, items=[1, 2])
    clock.advance(1)
    fork = Start("fork-of-nap", NAP.id, State.of({}, BYTES_MAX), {}, forked_from=("nap", 0))
    await store.runs.start(fork)
    children = await ids(store, parent_id="parent")
    assert len(children) == 2
    assert await ids(store, is_child=False) == ["fork-of-nap", "parent", "approval", "nap"]
    assert await ids(store, parent_id="nap") == []
    assert await ids(store, forked_from="nap") == ["fork-of-nap"]
    assert await ids(store, waiting_for=WaitKind.SLEEP) == ["nap"]
    assert await ids(store, waiting_for=WaitKind.SIGNAL) == ["approval"]
    assert await ids(store, waiting_for=WaitKind.CHILDREN) == ["parent"]
    assert await ids(store, waiting_for=WaitKind.SIGNAL, statuses=("completed",)) == []
    await store.control.pause("approval")
    assert await ids(store, waiting_for=WaitKind.SIGNAL) == ["approval"]
    second = 1893456000_000_000  # The clock's beginning.
    assert await ids(store, created_after_us=second, created_before_us=second + 2_000_000) == ["approval"]
    assert await ids(store, created_before_us=second + 1) == ["nap"]
    assert await ids(store, id_prefix="fork") == ["fork-of-nap"]
    assert await ids(store, id_prefix="fork-of-n") == ["fork-of-nap"]


async def test_a_list_shows_waits_children_and_durations(store: Store, database: Database, clock: Clock) -> None:
    await parked(store, "approval", APPROVAL)
    await parked(store, "parent", fan(APPROVAL), APPROVAL, items=[1, 2, 3])
    await finish(store, "done", clock)
    shown = {run.run_id: run for run in (await store.runs.page(RunFilter(is_child=False), 10)).items}
    assert shown["approval"].wait == run_list.WaitShown("signal", "ok", None)
    assert shown["parent"].children == 3
    assert (shown["done"].wait, shown["done"].children, shown["done"].duration_ms) == (None, 0, 0)
    # A run that has not ended lasts until now, by the database's clock.
    assert shown["parent"].duration_ms is not None
    ((queued,),) = ask(database, "SELECT count(*) FROM runs WHERE started_at IS NULL")
    listed = (await store.runs.page(RunFilter(), 10)).items
    assert sum(run.duration_ms is None for run in listed) == queued
    run, state = await store.runs.listed("parent")
    assert (run.children, state.to_object()) == (3, {"items": [1, 2, 3]})


async def test_pages_lead_through_all_runs_of_several_statuses(store: Store, clock: Clock) -> None:
    for number in range(9):
        await finish(store, str(number), clock, fails=number % 2 == 0)
    which = RunFilter(statuses=("completed", "failed"))
    found: list[str] = []
    cursor = None
    while True:
        page = await store.runs.page(which, 2, cursor)
        found += [run.run_id for run in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert found == list("876543210")
    assert await store.runs.oldest(which, 3) == ["0", "1", "2"]


async def test_a_page_ends_early_when_its_runs_are_large(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.queries.pages.PAGE_BYTES_MAX", 2500)
    for number in range(4):
        clock.advance(1)
        await start(store, str(number), tags={"t": "x" * 1000})
    page = await store.runs.page(RunFilter(), 100)
    assert ([run.run_id for run in page.items], page.next_cursor) == (["3", "2"], "2030-01-01T00:00:03.000Z/2")
    page = await store.runs.page(RunFilter(), 100, page.next_cursor)
    assert ([run.run_id for run in page.items], page.next_cursor) == (["1", "0"], None)


async def test_a_page_of_graphs_ends_early_when_their_names_are_large(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.queries.pages.PAGE_BYTES_MAX", 7000)
    for number in range(1, 4):
        clock.advance(1)
        await store.graphs.add(versioned(number, LONG_NAME))
    first = await store.graphs.page(100)
    rest = await store.graphs.page(100, first.next_cursor)
    assert (len(first.items), len(rest.items), rest.next_cursor) == (2, 1, None)


async def test_counts_stop_at_their_cap(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_list, "COUNTED_MAX", 2)
    for number in range(3):
        await finish(store, str(number), clock, tags={"t": "1"})
    await finish(store, "failed", clock, tags={"t": "2"}, fails=True)
    counts = await store.runs.counts(RunFilter())
    assert counts == {
        "queued": 0,
        "running": 0,
        "waiting": 0,
        "paused": 0,
        "completed": 2,
        "failed": 1,
        "cancelled": 0,
    }
    assert (await store.runs.counts(RunFilter(tags=("t:2",))))["completed"] == 0
    assert (await store.runs.counts(RunFilter(statuses=("failed",))))["completed"] == 0
