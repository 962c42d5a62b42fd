"""The state after any step is what a dict that went through the same changes holds; SQL gives the same bytes."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.core import codec
from service.core.errors import NotFound
from service.core.validation import read_graph
from service.store.database.opening import database_at
from service.store.database.protocol import Database
from service.store.database.sqlite.connections import Sqlite
from tests.support.core.strategies import json_values, keys
from tests.support.postgres import Databases
from tests.support.profile import repeat
from tests.support.store.harness import ask, claim_one, clean, opened, start, start_of, started, walk

# Its one edge is always taken: any state will do.
ENDLESS = read_graph({"start_node": "a", "nodes": {"a": "add"}, "edges": {"a": "a"}}, ["add"])

Change = tuple[dict[str, Any], set[str]]
changes: st.SearchStrategy[Change] = st.tuples(
    st.dictionaries(keys, json_values, max_size=3), st.sets(keys, max_size=2)
)


def states_of(initial: dict[str, Any], sequence: Sequence[Change]) -> list[dict[str, Any]]:
    """The model: what a dict holds after each change."""
    states = [dict(initial)]
    for given_now, removed in sequence:
        state = {key: value for key, value in states[-1].items() if key not in removed}
        states.append({**state, **{key: value for key, value in given_now.items() if key not in removed}})
    return states


@pytest.fixture(scope="module")
def both(migrated: Path, postgres: Databases) -> Iterator[tuple[Database, ...]]:
    """SQLite and PostgreSQL, emptied for each example."""
    url = postgres.migrated()
    with tempfile.TemporaryDirectory() as folder:
        yield Sqlite(Path(shutil.copy(migrated, Path(folder) / "rungraph.db"))), database_at(url)
    postgres.drop(url)


@settings(max_examples=repeat(10, 250))
@given(initial=st.dictionaries(keys, json_values, max_size=4), sequence=st.lists(changes, max_size=6))
def test_the_state_after_any_step_is_the_models_byte_for_byte_on_both_databases(
    both: tuple[Database, ...], initial: dict[str, Any], sequence: list[Change]
) -> None:
    expected = [codec.encode(state) for state in states_of(initial, sequence)]

    async def scenario(database: Database) -> None:
        async with opened(database) as store:
            await store.graphs.add(ENDLESS)
            await store.runs.start(start_of("other", ENDLESS))  # A neighbour's rows are nobody else's.
            await store.runs.start(start_of("r", ENDLESS, state=initial))
            claimed = {claim.lease.run_id: claim for claim in await store.leases.claim(10)}
            await walk(store, claimed["other"], [{"a": 1}, {"b": 2}])
            run = await walk(store, claimed["r"], states_of(initial, sequence)[1:])
            stored = [(await store.history.state_at("r", step))[1].to_text() for step in range(len(sequence) + 1)]
            assert stored == expected
            assert (await store.history.state_at("r", None)) == (len(sequence), run.state)
            assert (await store.runs.whole("r", 0, 1))[1] == run.state
        rows = ask(database, "SELECT step, state FROM v_states WHERE run_id = 'r' ORDER BY step")
        assert rows == list(enumerate(expected))

    stored = []
    for database in both:
        clean(database)
        asyncio.run(scenario(database))
        stored.append(ask(database, "SELECT run_id, key, step, value, position FROM changes ORDER BY 1, 2, 3"))
    assert stored[0] == stored[1]


async def test_keys_sort_by_code_point_on_both_databases(both: tuple[Database, ...]) -> None:
    """Where positions are equal the key decides; a locale's order would differ."""
    names = ["a", "B", "é", "e", "Z", "_", "-", "😀", "\uffff", "ä", "10", "9", ""]
    found = []
    for database in both:
        clean(database)

        async def scenario(database: Database) -> None:
            async with opened(database) as store:
                await store.graphs.add(ENDLESS)
                await store.runs.start(start_of("r", ENDLESS, state=dict.fromkeys(names, 0)))

        await scenario(database)
        found.append([key for (key,) in ask(database, "SELECT key FROM changes ORDER BY key")])
        assert ask(database, "SELECT state FROM v_states") == [(codec.encode(dict.fromkeys(names, 0)),)]
    assert found == [sorted(names)] * 2


async def test_a_step_past_the_last_and_an_unknown_run_are_not_found(database: Database) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        await walk(store, claimed, [{"n": 1}])
        for run_id, step in (("r", 2), ("r", 2**63 - 1), ("r", 2**70), ("nope", 0), ("nope", None)):
            with pytest.raises(NotFound):
                await store.history.state_at(run_id, step)


async def test_a_step_writes_what_it_changed_and_nothing_else(database: Database) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        big = "x" * 100_000
        last = {"n": 2, "big": big}
        await walk(store, claimed, [{"n": 1, "big": big, "o": {"a": 1}}, {**last, "o": {"a": 1.0}}, last])
    rows = ask(database, "SELECT step, key, substr(value, 1, 7) FROM changes WHERE step > 0 ORDER BY step, key")
    assert rows == [
        *((1, "big", '"xxxxxx'), (1, "n", "1"), (1, "o", '{"a":1}')),
        *((2, "n", "2"), (2, "o", '{"a":1.')),
        (3, "o", None),
    ]


async def test_the_page_of_steps_shows_what_each_changed(database: Database) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        await walk(store, claimed, [{"n": 1, "b": [1.0], "a": None}, {"n": 1, "a": None}, {"n": 1000}])
        page = await store.history.page("r", 0, 100)
        shown = [(step.step, step.set, step.unset, step.next_node, step.reason) for step in page.items]
        assert shown == [
            (1, {"n": "1", "b": "[1.0]", "a": "null"}, (), "a", "condition"),
            (2, {}, ("b",), "a", "condition"),
            (3, {"n": "1000"}, ("a",), None, "none_true"),
        ]
        assert list(page.items[0].set) == ["n", "b", "a"]
        assert page.next_cursor is None


async def test_the_views_answer(database: Database) -> None:
    async with opened(database) as store:
        named = read_graph({**ENDLESS.document(), "name": "endless"}, ["add"])
        await start(store, "r", named)
        claimed = await claim_one(store)
        await walk(store, claimed, [{"n": 1}, {"n": 2, "x": "é"}])
        await started(store, "fails")
    assert ask(
        database, "SELECT run_id, graph, status, step, current_node, error_type FROM v_runs ORDER BY run_id"
    ) == [
        ("fails", "", "running", 0, "a", None),
        ("r", "endless", "running", 2, "a", None),
    ]
    assert ask(database, "SELECT step, node, went_to, reason FROM v_steps WHERE run_id = 'r' ORDER BY step") == [
        (1, "a", "a", "unconditional"),
        (2, "a", "a", "unconditional"),
    ]
    assert ask(database, "SELECT step, state FROM v_states WHERE run_id = 'r' ORDER BY step") == [
        (0, '{"n":0}'),
        (1, '{"n":1}'),
        (2, '{"n":2,"x":"é"}'),
    ]
    assert ask(database, "SELECT seq, event FROM v_lines WHERE run_id = 'r' ORDER BY seq")[-1] == (3, "step_completed")
    [(duration,)] = ask(database, "SELECT duration_s FROM v_runs WHERE run_id = 'r'")
    assert duration >= 0
