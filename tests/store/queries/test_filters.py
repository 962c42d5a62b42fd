"""Filters of runs against the same filters written in Python, over runs of every status, kind of wait and origin."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.core.moves import NoSlot
from service.core.run import WaitKind
from service.core.state import State
from service.core.syntax.tags import tag_of
from service.core.transitions import Status
from service.core.validation import read_graph
from service.store import Store
from service.store.commands.start import Start
from service.store.database.clock import microseconds
from service.store.database.protocol import Database
from service.store.queries.pages import Place
from service.store.queries.runs.filter import RunFilter
from service.store.queries.runs.listing import ListedRun
from tests.support.profile import repeat
from tests.support.store.carrying import AGAIN, APPROVAL, BOOM, NAP, carry, claim, fan, rest
from tests.support.store.harness import BYTES_MAX, Clock, opened
from tests.support.store.limits.limiting import LIMIT, LIMITED

RUNS = 48
BEGIN_US = 1893456000_000_000
"""The clock's beginning."""
GRAPHS = [
    read_graph({"name": name, "start_node": "a", "max_steps": steps, "nodes": {"a": "add"}}, ["add"])
    for name, steps in [("etl", 1), ("etl", 2), ("", 3), ("web", 4)]
]
TAGS = ["team:data", "team:data:x", r"team\:data:x", ":", "!odd:1", "tier:a", "tier:ä", r"a\\b:c"]
"""Tags as filters write them."""
IDS = [f"0a{number % 3}b{number:04x}-{number % 5:04x}-7000-8000-{number:012x}" for number in range(RUNS)]
PARENTS = IDS[3::12]
FORKS = IDS[5::12]
"""Forks of the first run, or of the second."""


async def fill(store: Store, clock: Clock) -> None:
    """Make the runs. Some are created within the same millisecond."""
    made = random.Random(7)
    for each in (*GRAPHS, NAP, APPROVAL, AGAIN, LIMITED, fan(APPROVAL)):
        await store.graphs.add(each)
    for run_id in IDS:
        clock.advance(made.choice([0, 0, 0.001, 1]))
        await make(store, run_id, made)


async def make(store: Store, run_id: str, made: random.Random) -> None:
    tags = dict(map(tag_of, made.sample(TAGS, made.randrange(4))))  # type: ignore[arg-type]  # all of TAGS are tags
    parking = fan(APPROVAL) if run_id in PARENTS else made.choice([NAP, APPROVAL, AGAIN, LIMITED])
    graph = parking if run_id in PARENTS or made.random() < 0.4 else made.choice(GRAPHS)
    origin = (IDS[made.randrange(2)], 0) if run_id in FORKS else None
    state = {"items": [1, 2]} if run_id in PARENTS else {}
    await store.runs.start(Start(run_id, graph.id, State.of(state, BYTES_MAX), tags, forked_from=origin))
    match made.choice(["queued", "running", "carried", "carried", "failed"]):
        case "running":
            await claim(store, run_id)
        case "failed" if graph in GRAPHS:
            await carry(store, await claim(store, run_id), BOOM)
        case "carried" | "failed" if graph is AGAIN:
            await carry(store, await claim(store, run_id), BOOM)
        case "carried" | "failed" if graph is LIMITED:
            await carry(store, await claim(store, run_id), NoSlot(LIMIT))
        case "carried" | "failed":
            await rest(store, await claim(store, run_id))
    if (await store.runs.get(run_id)).status in ("queued", "running", "waiting"):
        match made.randrange(4):
            case 0:
                await store.control.pause(run_id)
            case 1 if run_id not in PARENTS:
                await store.control.cancel(run_id)


tags_drawn = st.lists(st.sampled_from(TAGS), max_size=2, unique=True).map(tuple)
times = st.none() | st.integers(-2_000, 20_000_000).map(lambda offset: BEGIN_US + offset)
filters = st.builds(
    RunFilter,
    statuses=st.just(())
    | st.lists(st.sampled_from([status.value for status in Status]), max_size=3, unique=True).map(tuple),
    graph_id=st.none() | st.none() | st.sampled_from([GRAPHS[0].id, GRAPHS[3].id, NAP.id, "0" * 32]),
    graph_name=st.none() | st.none() | st.sampled_from(["etl", "", "web", "none"]),
    tags=st.just(()) | tags_drawn,
    without_tags=st.just(()) | tags_drawn,
    parent_id=st.none() | st.none() | st.sampled_from([*PARENTS, IDS[0]]),
    is_child=st.none() | st.booleans(),
    forked_from=st.none() | st.none() | st.sampled_from(IDS[:3]),
    waiting_for=st.none() | st.none() | st.sampled_from(WaitKind),
    created_after_us=times,
    created_before_us=times,
    id_prefix=st.none()
    | st.none()
    | st.builds(lambda text, length: text[:length], st.sampled_from(IDS), st.integers(4, 36)),
)


def is_match(run: ListedRun, which: RunFilter) -> bool:
    tags = json.loads(run.tags).items()
    created_us = microseconds(run.created_at)
    return (
        (not which.statuses or run.status in which.statuses)
        and which.graph_id in (None, run.graph_id)
        and which.graph_name in (None, run.graph_name)
        and all(tag_of(tag) in tags for tag in which.tags)
        and not any(tag_of(tag) in tags for tag in which.without_tags)
        and which.parent_id in (None, run.parent_id)
        and which.is_child in (None, run.parent_id is not None)
        and which.forked_from in (None, run.forked_from_id)
        and (which.waiting_for is None or (run.wait is not None and run.wait.kind == which.waiting_for))
        and (which.created_after_us is None or created_us > which.created_after_us)
        and (which.created_before_us is None or created_us < which.created_before_us)
        and (which.id_prefix is None or run.run_id.startswith(which.id_prefix))
    )


async def paged(store: Store, which: RunFilter, limit: int, cursor: str | None = None) -> list[str]:
    """Return the ids on all pages after `cursor`."""
    found: list[str] = []
    while True:
        page = await store.runs.page(which, limit, cursor)
        found += [run.run_id for run in page.items]
        assert len(page.items) <= limit
        if (cursor := page.next_cursor) is None:
            return found


def check_kinds(every: list[ListedRun]) -> None:
    """Check that the runs are of every kind."""
    assert {run.status for run in every} == set(Status)
    assert {run.wait.kind for run in every if run.wait} == set(WaitKind)
    assert any(run.wait and run.status == "paused" for run in every)
    assert {run.parent_id for run in every} > {None}
    assert {run.forked_from_id for run in every} > {None}
    assert len({run.created_at for run in every}) < len(every)


async def check(store: Store, every: list[ListedRun], which: RunFilter, limit: int, seen: Any) -> None:
    """Compare what the store says of a filter with what Python does."""
    wanted = [run for run in every if is_match(run, which)]
    ids = [run.run_id for run in wanted]
    assert await paged(store, which, limit) == ids
    # The cursor is a place among all runs, so one of another filter's pages leads on from there.
    later = every[every.index(seen) + 1 :]
    assert await paged(store, which, limit, Place.of(seen.created_at, seen.run_id).cursor) == [
        run.run_id for run in later if is_match(run, which)
    ]
    assert await store.runs.oldest(which, limit) == ids[::-1][:limit]
    assert +Counter(await store.runs.counts(which)) == Counter(run.status for run in wanted)


cases = st.tuples(filters, st.sampled_from([1, 2, 7, 1000]), st.integers(0, RUNS - 1))
"""A filter, the length of its pages, and the place of a run which is taken as a cursor."""


@given(drawn=st.lists(cases, min_size=1, max_size=8))
@settings(
    max_examples=repeat(4, 200),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_filters_select_what_they_say(
    database: Database, clock: Clock, drawn: list[tuple[RunFilter, int, int]]
) -> None:
    async with opened(database, clock) as store:
        if not (await store.runs.page(RunFilter(), 1)).items:
            await fill(store, clock)
        every = list((await store.runs.page(RunFilter(), 1000)).items)
        in_order = sorted(every, key=lambda run: (run.created_at, run.run_id), reverse=True)
        assert [run.run_id for run in every] == [run.run_id for run in in_order]
        check_kinds(every)
        for which, limit, place in drawn:
            await check(store, every, which, limit, every[place])


async def test_a_filter_is_led_by_what_few_runs_have(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With this bound some tags, graphs and prefixes are rare, and others are not."""
    monkeypatch.setattr("service.store.queries.runs.listing.RARE_MAX", 8)
    async with opened(database, clock) as store:
        await fill(store, clock)
        every = list((await store.runs.page(RunFilter(), 1000)).items)
        others: list[dict[str, Any]] = [{"graph_name": "etl"}, {"id_prefix": IDS[4][:4]}, {"id_prefix": IDS[4][:8]}]
        for statuses, tags in itertools.product([("failed",), ("queued", "completed")], [(), ("tier:a",), TAGS[:2]]):
            for more in others:
                which = RunFilter(statuses, tags=tuple(tags), **more)
                assert await paged(store, which, 7) == [run.run_id for run in every if is_match(run, which)], which
