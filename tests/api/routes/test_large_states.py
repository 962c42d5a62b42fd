"""A state of many keys is read in parts and written on a thread, so that the loop goes on answering."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

import httpx
import pytest

from service.core.state import State
from service.store.queries import whole_states
from service.store.queries.whole_states import KEYS_ON_LOOP_MAX
from service.store.rows import states
from tests.support.api.harness import Server


def keys_by_thread(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How many keys of states each thread builds or writes."""
    count: Counter[int] = Counter()
    build, write = states.state_of, State.to_text

    def building(rows: Any) -> State:
        state = build(rows)
        count[threading.get_ident()] += len(state.entries)
        return state

    def writing(state: State) -> str:
        count[threading.get_ident()] += len(state.entries)
        return write(state)

    monkeypatch.setattr(whole_states, "state_of", building)
    monkeypatch.setattr(State, "to_text", writing)
    return count


@pytest.mark.parametrize("path", ["/graph/state/{}", "/runs/{}", "/runs/{}/state"])
def test_a_large_state_is_built_and_written_on_other_threads_than_the_loops(
    server: Server, client: httpx.Client, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    large = {f"key {number * 7919 % 10_007:05}": number for number in range(2 * KEYS_ON_LOOP_MAX)}
    run_ids = [server.start(client), server.start(client, **large)]
    count = keys_by_thread(monkeypatch)
    on_loop = server.do(_ident())
    small, found = (client.get(path.format(run_id)).json()["state"] for run_id in run_ids)
    assert list(found.items()) == [("n", 0), ("until", 1), *large.items()]
    assert count.pop(on_loop) == 2 * len(small)
    assert sum(count.values()) == 2 * len(found)


async def _ident() -> int:
    return threading.get_ident()


def test_other_calls_have_their_turn_between_the_parts_of_a_large_state(server: Server, client: httpx.Client) -> None:
    run_id = server.start(client, **{f"key {number}": number for number in range(3 * KEYS_ON_LOOP_MAX)})

    async def turns() -> int:
        """Count how often another task has run while the rows were read."""
        count, is_over = 0, False

        async def other() -> None:
            nonlocal count
            while not is_over:
                count += 1
                await asyncio.sleep(0)

        async with server.services.store.history._reader.snapshot() as snapshot:
            statement = states.STATE_AT[snapshot.dialect]
            task = asyncio.create_task(other())
            parts = snapshot.parts(statement, KEYS_ON_LOOP_MAX, run_id=run_id, step=0)
            await anext(parts)
            before = count
            assert [len(part) async for part in parts] == [KEYS_ON_LOOP_MAX, KEYS_ON_LOOP_MAX, 2]
            is_over = True
            await task
        return count - before

    assert server.do(turns()) >= 3
