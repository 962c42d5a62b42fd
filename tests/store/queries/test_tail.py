"""Tails that wait for an event share one timer."""

from __future__ import annotations

import asyncio

import pytest

from service.store.queries import tail
from service.store.queries.tail import _Waiting


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> _Waiting:
    monkeypatch.setattr(tail, "POLL_S", 0.02)
    return _Waiting()


async def test_those_who_wait_for_long_are_woken_and_the_others_by_their_events(waiting: _Waiting) -> None:
    for _ in range(3):  # The timer is set anew for those who come later.
        events = [asyncio.Event() for _ in range(3)]
        tasks = [asyncio.create_task(waiting.wait(event)) for event in events]
        await asyncio.gather(*tasks)
        assert all(event.is_set() for event in events)
    assert [task.result() for task in tasks] == [False] * 3
    assert waiting._due_at == {}


async def test_an_event_ends_the_wait(waiting: _Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "POLL_S", 3600.0)
    event = asyncio.Event()
    task = asyncio.create_task(waiting.wait(event))
    await asyncio.sleep(0)
    event.set()
    assert await task


async def test_a_wait_that_is_cancelled_leaves_nothing(waiting: _Waiting) -> None:
    task = asyncio.create_task(waiting.wait(asyncio.Event()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (waiting._due_at, waiting._timer) == ({}, None)
    assert not await waiting.wait(asyncio.Event())
