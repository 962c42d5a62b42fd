"""States that a claim need not read back: only of runs that still have the state they began with, and never many."""

from __future__ import annotations

from typing import Any

import pytest

from service.core.state import State
from service.store.database.protocol import Database
from service.store.rows import first_states, states
from service.store.rows.first_states import FirstStates
from tests.support.store.control.commands import patched
from tests.support.store.harness import BYTES_MAX, COUNTER, opened, start_of


def state(**members: Any) -> State:
    return State.of(members, BYTES_MAX)


def test_a_state_is_taken_once_and_only_at_the_beginning() -> None:
    kept = FirstStates()
    kept.add("a", state(n=1))
    kept.add("b", state())
    assert kept.take([("b", 0), ("other", 0)]) == {"b": state()}
    assert kept.take([("b", 0)]) == {}
    assert kept.take([("a", 1)]) == {}
    assert kept.take([("a", 0)]) == {}


def test_the_oldest_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_states, "CACHED_BYTES_MAX", 2 * states.length_of(state(n=1)))
    kept = FirstStates()
    for name in "abc":
        kept.add(name, state(n=1))
    kept.add("c", state(n=2))
    assert kept.take([(name, 0) for name in "abc"]) == {"b": state(n=1), "c": state(n=2)}
    kept.add("large", state(text="x" * 1000))
    assert kept.take([("large", 0)]) == {}


async def test_a_run_patched_before_its_claim_has_the_patched_state(database: Database) -> None:
    async with opened(database) as store:
        await store.graphs.add(COUNTER)
        for name in "ab":
            await store.runs.start(start_of(name, state={"n": 1}))
        await store.control.pause("b")
        await store.control.resume("b", patched(n=2))
        claimed = await store.leases.claim(2)
        assert {each.run.id: each.run.state.to_object() for each in claimed} == {"a": {"n": 1}, "b": {"n": 2}}


async def test_a_run_claimed_again_has_the_state_that_it_began_with(database: Database) -> None:
    async with opened(database) as store:
        await store.graphs.add(COUNTER)
        await store.runs.start(start_of("r", state={"n": 1, "é": [2**64, -0.0]}))
        [first] = await store.leases.claim(1)
        await store.leases.release(first.lease, interrupted=False)
        [second] = await store.leases.claim(1)
        assert first.run.state == second.run.state
        assert list(first.run.state) == list(second.run.state) == ["n", "é"]
