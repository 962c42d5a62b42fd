"""Keys and tags of any length: on PostgreSQL, whose index entries are short, they read the same as on SQLite."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import string
from typing import Any

import pytest

from service.core import codec
from service.core.graph import NODE_NAME_CHARS_MAX
from service.core.transitions import Status
from service.core.validation import read_graph
from service.store import Store
from service.store.database.postgres.connections import Postgres
from service.store.database.protocol import Database
from service.store.database.sqlite.connections import Sqlite
from service.store.rows.states import slot_of
from tests.support.store.carrying import begun, carry, claim, graph, rest
from tests.support.store.filters import filter_of
from tests.support.store.harness import ask, claim_one, opened, start_of, walk

# Random, since PostgreSQL compresses what repeats, and then takes it.
_RANDOM = random.Random(7)


def letters(count: int, alphabet: str = string.ascii_letters) -> str:
    return "".join(_RANDOM.choices(alphabet, k=count))


LONG = letters(6000)
FOREIGN = letters(6000, "éßñ漢字かな😀🎉ж")
SHARED = letters(300)
SIBLINGS = [SHARED + letters(5700) for _ in range(6)]
STAND_IN = slot_of(LONG, "postgresql")
STAND_IN_OF_IT = slot_of(STAND_IN, "postgresql")
EDGES = [letters(250, "😀🎉"), letters(251, "😀🎉"), letters(1000), letters(1001)]

LOOP = read_graph(
    {
        "start_node": "a",
        "nodes": {"a": "add"},
        "edges": {"a": {"to": "a", "condition": {"key": LONG, "op": "!=", "value": "never"}}},
    },
    ["add"],
)

STATES: list[dict[str, Any]] = [
    {LONG: 0, "n": 1},
    {"n": 1, LONG: "x" * 5000, STAND_IN: "the stand-in", STAND_IN_OF_IT: "its own"},
    {FOREIGN: [1.0], **dict.fromkeys(SIBLINGS, 0), LONG: "y" * 5000, STAND_IN: 2, "": None},
    {LONG: 1, FOREIGN: {"a": FOREIGN}, STAND_IN_OF_IT: True, **dict.fromkeys(EDGES, 5), SIBLINGS[0]: 0},
    {LONG: LONG, "n": 2},
    {"n": 2, LONG: LONG, FOREIGN: 3, STAND_IN: 4},
]


@pytest.fixture
def both(file: Sqlite, server_database: Database) -> tuple[Database, ...]:
    return file, server_database


async def _walked(store: Store) -> None:
    await store.graphs.add(LOOP)
    await store.runs.start(start_of("r", LOOP, state=STATES[0]))
    await walk(store, await claim_one(store), STATES[1:])


def test_a_short_text_is_its_own_slot_and_a_long_one_has_a_stand_in() -> None:
    digest = hashlib.sha256(LONG.encode()).hexdigest()
    assert f"{LONG[:100]}…{digest}" == STAND_IN
    for text in ("", "n", "…", EDGES[0], EDGES[2], STAND_IN[:-1], STAND_IN + "x", STAND_IN[:-1] + "g"):
        assert slot_of(text, "postgresql") == text
    for text in (LONG, FOREIGN, EDGES[1], EDGES[3], STAND_IN, STAND_IN_OF_IT, "…" + digest, "x" * 2000 + "…" + digest):
        slot = slot_of(text, "postgresql")
        assert slot != text
        assert slot.startswith(text[: min(100, len(text) - 65)])
        assert len(slot.encode()) < 500
        assert slot_of(text, "sqlite") == text


def test_no_two_texts_share_a_slot() -> None:
    texts = {LONG, LONG[:-1], FOREIGN, *SIBLINGS, *EDGES}
    for _ in range(3):
        texts |= {slot_of(text, "postgresql") for text in texts}
    assert len({slot_of(text, "postgresql") for text in texts}) == len(texts)


async def test_long_keys_are_set_changed_and_unset_like_any_other(database: Database) -> None:
    async with opened(database) as store:
        await _walked(store)
        for step, state in enumerate(STATES):
            assert (await store.history.state_at("r", step))[1].to_object() == state
        assert (await store.runs.whole("r", 0, 1))[1].to_object() == STATES[-1]
        steps = (await store.history.page("r", 0, 100)).items
        for step, before, after in zip(steps, STATES, STATES[1:], strict=False):
            assert {key: json.loads(text) for key, text in step.set.items()} == {
                key: value for key, value in after.items() if key not in before or before[key] != value
            }
            assert step.unset == tuple(sorted(before.keys() - after.keys()))
            (record,) = json.loads(step.evaluated)
            assert record["operands"] == {LONG: after[LONG]}
        assert len(steps) == len(STATES) - 1
    views = ask(database, "SELECT step, state FROM v_states WHERE run_id = 'r' ORDER BY step")
    assert [(step, json.loads(state)) for step, state in views] == list(enumerate(STATES))


async def test_a_run_with_long_keys_is_claimed_with_its_state(database: Database) -> None:
    async with opened(database) as store:
        await store.graphs.add(LOOP)
        await store.runs.start(start_of("r", LOOP, state=STATES[2]))
        assert (await claim_one(store)).run.state.to_object() == STATES[2]


def test_both_databases_give_the_same_bytes(both: tuple[Database, ...]) -> None:
    async def scenario(database: Database) -> list[Any]:
        async with opened(database) as store:
            await _walked(store)
            states = [(await store.history.state_at("r", step))[1].to_text() for step in range(len(STATES))]
            page = (await store.history.page("r", 0, 100)).items
            steps = [(step.step, list(step.set.items()), step.unset, step.evaluated) for step in page]
        views = ask(database, "SELECT state FROM v_states WHERE run_id = 'r' ORDER BY step")
        assert [state for (state,) in views] == states
        keys = ask(
            database, "SELECT step, coalesce(long_key, key), value, position FROM changes WHERE run_id = 'r' ORDER BY 1"
        )
        return [states, steps, sorted(keys, key=repr)]

    on_sqlite, on_postgresql = (asyncio.run(scenario(database)) for database in both)
    assert on_sqlite == on_postgresql
    assert on_sqlite[0][0] == codec.encode(STATES[0])


async def test_only_a_stand_in_has_its_key_beside_it(database: Database) -> None:
    async with opened(database) as store:
        await _walked(store)
    rows = set(ask(database, "SELECT key, long_key FROM changes"))
    keys = {key for state in STATES for key in state}
    dialect = "postgresql" if isinstance(database, Postgres) else "sqlite"
    slots = {key: slot_of(key, dialect) for key in keys}
    assert rows == {(slot, None if slot == key else key) for key, slot in slots.items()}
    assert any(whole for _, whole in rows) == (dialect == "postgresql")


async def test_long_tags_are_filtered_by(database: Database) -> None:
    tags = [LONG, FOREIGN, *SIBLINGS[:2], STAND_IN, "short", slot_of(f"t:{LONG}", "postgresql").removeprefix("t:")]

    async with opened(database) as store:
        await store.graphs.add(LOOP)
        for number, tag in enumerate(tags):
            await store.runs.start(start_of(f"{number}", LOOP, state={}, tags={"t": tag, FOREIGN: "k"}))
        for number, tag in enumerate(tags):
            (found,) = (await store.runs.page(filter_of(tag=f"t:{tag}"), 10)).items
            assert (found.run_id, json.loads(found.tags)) == (f"{number}", {"t": tag, FOREIGN: "k"})
        first = await store.runs.page(filter_of(tag=f"{FOREIGN}:k"), 4)
        rest = await store.runs.page(filter_of(tag=f"{FOREIGN}:k"), 4, first.next_cursor)
        assert [run.run_id for run in (*first.items, *rest.items)] == [*"6543210"]
        assert (await store.runs.page(filter_of(tag=f"t:{LONG[:-1]}"), 10)).items == ()


@pytest.mark.parametrize(
    "name",
    ["a", LONG[:NODE_NAME_CHARS_MAX], FOREIGN[:NODE_NAME_CHARS_MAX], STAND_IN],
    ids=["short", "long", "foreign", "stand-in"],
)
async def test_visits_of_a_node_of_any_name_are_counted(database: Database, name: str) -> None:
    visited = graph({"start_node": name, "nodes": {name: {"tool": "add", "max_visits": 2}}, "edges": {name: name}})

    async with opened(database) as store:
        claimed = await begun(store, "r", visited)
        for step in (2, 4):
            assert (await carry(store, claimed)).run.visits == {name: 1}
            await store.leases.release(claimed.lease, interrupted=False)
            claimed = await claim(store, "r")
            assert claimed.run.visits == {name: 1}
            run = await rest(store, claimed)
            assert (run.status, run.step, run.visits) == (Status.PAUSED, step, {name: 2})
            await store.control.resume("r")
            claimed = await claim(store, "r")
            assert claimed.run.visits == {}
