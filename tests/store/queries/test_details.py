"""What there is to read of one run, on both databases: its path, steps, keys, lines and signals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from unittest import mock

import pytest

from service.core.errors import NotFound
from service.core.run import Event, Level, Line
from service.store import Store
from service.store.database.protocol import Database
from service.store.database.reader import Snapshot
from service.store.queries.runs.filter import RunFilter
from service.store.queries.runs.lines import LineFilter
from service.store.queries.runs.path import STEPS_BY_EDGE, NodeVisits, Paths
from tests.support.store.carrying import APPROVAL, BOOM, begun, carry, fan, graph, parked, setting, single
from tests.support.store.harness import claim_one, commit, opened, start, started, success, walk

LOOP = graph(
    {
        "start_node": "a",
        "nodes": {"a": {"tool": "add", "retry": {"max_attempts": 2, "backoff_s": 0}}, "b": "add"},
        "edges": {
            "a": [
                {"to": "b", "on_error": ["timeout"]},
                {"to": "b", "condition": {"key": "n", "op": ">", "value": 10}},
                {"to": "a", "on_error": True},
                {"to": "a", "condition": {"key": "n", "op": "<", "value": 3}},
                {"to": "b"},
            ],
            "b": {"to": None, "condition": {"key": "n", "op": ">", "value": 100}},
        },
    }
)
LONG_KEY = "k" * 3000


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    async with opened(database) as made:
        yield made


async def walked(store: Store) -> Any:
    """A run of LOOP: a (edge 3), a (fails twice, error edge 2), a (edge 4), b (ends)."""
    return [claimed async for claimed in walking(store)][-1]


async def walking(store: Store) -> AsyncIterator[Any]:
    claimed = await begun(store, "r", LOOP, n=0)
    yield (claimed := await carry(store, claimed, setting(claimed.run, n=1)))
    yield (claimed := await carry(store, claimed, BOOM))
    yield (claimed := await carry(store, await claim_one(store), BOOM))
    yield (claimed := await carry(store, claimed, setting(claimed.run, n=5)))
    yield await carry(store, claimed, setting(claimed.run, n=6))


async def test_the_path_counts_visits_failures_and_edges(store: Store) -> None:
    await walked(store)
    path = await store.details.path("r")
    a, b = path.nodes["a"], path.nodes["b"]
    assert (a.visits, a.failures, a.last_step) == (3, 2, 3)
    assert (b.visits, b.failures, b.last_step) == (1, 0, 4)
    assert path.edges == {("a", 3, "a"): 1, ("a", 2, "a"): 1, ("a", 4, "b"): 1, ("b", None, None): 1}
    assert not path.is_partial


async def test_the_path_has_the_failures_of_a_step_that_was_never_committed(store: Store) -> None:
    claimed = await begun(store, "r", LOOP, n=0)
    await carry(store, claimed, BOOM)
    assert (await store.details.path("r")).nodes == {"a": NodeVisits(failures=1)}
    await store.control.cancel("r")
    assert (await store.details.path("r")).nodes == {"a": NodeVisits(failures=1)}
    with pytest.raises(NotFound):
        await store.details.path("unknown")


async def test_the_path_of_a_long_run_is_that_of_its_newest_steps(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.queries.runs.path.PATH_STEPS_MAX", 2)
    await walked(store)
    path = await store.details.path("r")
    assert path.is_partial
    assert {name: node.visits for name, node in path.nodes.items()} == {"a": 1, "b": 1}


async def test_a_path_that_is_asked_for_again_counts_new_steps_only(store: Store) -> None:
    paths = Paths(store._reader)
    async for _ in walking(store):
        assert await paths.of("r") == await Paths(store._reader).of("r")
    for asked, counted in ((paths, []), (Paths(store._reader), [0])):
        with mock.patch.object(Snapshot, "all", autospec=True, side_effect=Snapshot.all) as read:
            await asked.of("r")
        assert counts_in(read) == counted


def counts_in(read: mock.Mock) -> list[int]:
    """The last steps before those that were counted."""
    counts = [call for call in read.mock_calls if any(call.args[1] is each for each in STEPS_BY_EDGE.values())]
    return [call.kwargs["after_step"] for call in counts]


async def test_all_who_ask_at_once_count_new_steps_only(store: Store) -> None:
    paths = Paths(store._reader)
    steps = walking(store)
    await anext(steps)
    await paths.of("r")
    await anext(steps)
    await anext(steps)
    with mock.patch.object(Snapshot, "all", autospec=True, side_effect=Snapshot.all) as read:
        found = await asyncio.gather(*(paths.of("r") for _ in range(3)))
    assert set(counts_in(read)) == {1}
    assert found == [await Paths(store._reader).of("r")] * 3


async def test_counts_of_a_later_snapshot_are_not_those_of_an_earlier_one(store: Store) -> None:
    paths = Paths(store._reader)
    steps = walking(store)
    await anext(steps)
    async with store._reader.snapshot() as earlier:
        assert (await paths._count(earlier, "r", 1)).step == 1
        async for _ in steps:
            pass
        await paths.of("r")
        counted = await paths._count(earlier, "r", 1)
    assert sum(count for count, *_ in counted.edges.values()) == 1
    assert await paths.of("r") == await Paths(store._reader).of("r")


async def test_counts_of_few_runs_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.store.queries.runs.path.RUNS_KEPT_MAX", 1)
    await walked(store)
    await begun(store, "s", LOOP, n=0)
    paths = Paths(store._reader)
    for run_id in ("r", "s", "r"):
        await paths.of(run_id)
        assert list(paths._kept) == [run_id]
    monkeypatch.setattr("service.store.queries.runs.path.COUNTS_KEPT_MAX", 1)
    await paths.of("r")
    assert list(paths._kept) == []


async def test_steps_of_a_node_and_newest_first(store: Store) -> None:
    await walked(store)

    async def numbers(**options: Any) -> tuple[list[int], int | None]:
        page = await store.details.steps("r", **{"limit": 100, **options})
        return [step.step for step in page.items], page.next_cursor

    assert await numbers(node="a") == ([1, 2, 3], None)
    assert await numbers(node="a", limit=2) == ([1, 2], 2)
    assert await numbers(node="a", after_step=2) == ([3], None)
    assert await numbers(before_step=2**63 - 1) == ([4, 3, 2, 1], None)
    assert await numbers(before_step=4, limit=2) == ([3, 2], 2)
    assert await numbers(before_step=4, node="a", after_step=1) == ([3, 2], None)
    assert await numbers(before_step=0) == ([], None)
    assert await numbers(node="none") == ([], None)
    whole = {step.step: step for step in (await store.history.page("r", 0, 100)).items}
    for step in (await store.details.steps("r", before_step=5, limit=100)).items:
        assert step == whole[step.step]


async def test_a_page_of_large_steps_ends_early_from_either_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.store.queries.runs.steps.PAGE_BYTES_MAX", 3000)
    claimed = await started(store)
    await walk(store, claimed, [{"n": number, "big": str(number) * 1000} for number in range(5)])
    page = await store.details.steps("r", before_step=100, limit=100)
    assert ([step.step for step in page.items], page.next_cursor) == ([5, 4], 4)
    page = await store.details.steps("r", node="a", limit=100)
    assert ([step.step for step in page.items], page.next_cursor) == ([1, 2], 2)


async def test_keys_name_the_step_that_wrote_them(store: Store) -> None:
    claimed = await started(store)
    await walk(store, claimed, [{"n": 0, "ä": "é"}, {"n": 2, "ä": "é", LONG_KEY: 1}, {"n": 3, LONG_KEY: 1}])
    keys = {key.key: (key.step, key.node, key.byte_length) for key in await store.details.keys("r")}
    assert keys == {"n": (3, "a", 1), LONG_KEY: (2, "a", 1)}
    values = (await store.details.key_values("r", "n", None, 100)).items
    assert [(value.step, value.node, value.value) for value in values] == [(3, "a", "3"), (2, "a", "2"), (0, None, "0")]
    removed = (await store.details.key_values("r", "ä", None, 100)).items
    assert [(value.step, value.value) for value in removed] == [(3, None), (1, '"é"')]
    page = await store.details.key_values("r", "n", None, 2)
    assert page.next_cursor == 2
    assert [value.step for value in (await store.details.key_values("r", "n", 2, 2)).items] == [0]
    assert (await store.details.key_values("r", "n", 0, 2)).items == ()
    assert [value.step for value in (await store.details.key_values("r", LONG_KEY, None, 100)).items] == [2]
    with pytest.raises(NotFound):
        await store.details.key_values("r", "none", None, 100)
    with pytest.raises(NotFound):
        await store.details.keys("unknown")


async def test_a_page_of_large_values_ends_early(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.store.queries.runs.keys.PAGE_BYTES_MAX", 2500)
    claimed = await started(store)
    await walk(store, claimed, [{"n": number, "big": str(number) * 1000} for number in range(5)])
    page = await store.details.key_values("r", "big", None, 100)
    assert ([value.step for value in page.items], page.next_cursor) == ([5, 4], 4)


async def test_lines_by_level_node_and_text(store: Store) -> None:
    await start(store, "r")
    claimed = await claim_one(store)
    lines = [
        Line(Event.LOG, f"{level} 100% of a_b", level, node=node, step=1, attempt=1)
        for level in (Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR)
        for node in ("a", "b")
    ]
    await commit(store, claimed.lease, success(claimed.run, n=1000), lines)

    async def messages(**filters: Any) -> list[str]:
        found, last_seq = await store.details.lines("r", LineFilter(**filters), 100)
        assert last_seq == (await store.runs.get("r")).last_seq
        return [f"{line.message[:7]} {line.node}" for line in found if line.event == "log"]

    assert await messages(level=Level.WARNING) == ["warning a", "warning b", "error 1 a", "error 1 b"]
    assert await messages(level=Level.DEBUG, node="b") == ["debug 1 b", "info 10 b", "warning b", "error 1 b"]
    assert await messages(text="% of a_", node="a", level=Level.ERROR) == ["error 1 a"]
    assert await messages(text="%%") == []
    assert await messages(text="Error 100") == []
    newest, _ = await store.details.lines("r", LineFilter(before_seq=5), 2)
    assert [line.seq for line in newest] == [4, 3]
    newest, _ = await store.details.lines("r", LineFilter(after_seq=2, before_seq=5), 100)
    assert [line.seq for line in newest] == [4, 3]
    with pytest.raises(NotFound):
        await store.details.lines("unknown", LineFilter(), 1)


async def test_signals_tell_the_step_that_took_them(store: Store) -> None:
    await parked(store, "r", APPROVAL)
    await store.signals.send("r", "ok", '"é"')
    await store.signals.send("r", "other", "1")
    claimed = await claim_one(store)
    await carry(store, claimed)
    found = [(each.name, each.step, each.byte_length) for each in await store.details.signals("r")]
    assert found == [("ok", 1, 4), ("other", None, 1)]
    with pytest.raises(NotFound):
        await store.details.signals("unknown")


async def test_a_value_that_children_share_is_shown_whole(store: Store) -> None:
    child = single("add")
    large = "x" * 100_000
    await parked(store, "parent", fan(child, input=["big"]), child, items=[1, 2], big=large)
    run_id = (await store.runs.newest(RunFilter(parent_id="parent"), 1))[0].run_id
    keys = {key.key: key.byte_length for key in await store.details.keys(run_id)}
    assert keys["big"] == len(large) + 2
    (value,) = (await store.details.key_values(run_id, "big", None, 10)).items
    assert value.value == f'"{large}"'
