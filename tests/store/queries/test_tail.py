"""A commit notes which tails may have new lines, one read serves those that wait, and nothing noted is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from service.core.errors import Unavailable
from service.store.database.reader import Reader
from service.store.queries import tail as module
from service.store.queries.tail import Seen, _Tail, _Together, _Waiting


class Reads(_Together):
    """Reads that a test answers. Each call of `_find` is noted and waits until `go` is set."""

    def __init__(self) -> None:
        super().__init__(cast(Reader, None))
        self.places: list[list[tuple[str, int]]] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def _find(self, places: Any) -> dict[int, Seen]:
        self.places.append(places)
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return {number: Seen(1, over=False) for number in range(len(places))}


@pytest.fixture
async def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    monkeypatch.setattr(module, "TOGETHER_PAUSE_S_MAX", 0.002)
    return Reads()


def new_tail(reads: Reads, run_id: str = "r", gone: Any = lambda _: False) -> _Tail:
    return _Tail(run_id, 0, reads, _Waiting(), gone)


async def begun(tail: _Tail) -> asyncio.Task[Seen | None]:
    task = asyncio.create_task(tail.next())
    await asyncio.sleep(0)
    return task


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110  # what it waits for has no event
            await asyncio.sleep(0.001)


async def test_one_read_serves_all_that_were_noted(reads: Reads) -> None:
    tails = [new_tail(reads, run_id) for run_id in ("a", "b", "b", "quiet")]
    tasks = [await begun(tail) for tail in tails]
    for tail in (*tails[:3], tails[0]):
        tail.note()
    reads.go.set()
    assert [await task for task in tasks[:3]] == [Seen(1, over=False)] * 3
    assert reads.places == [[("a", 0), ("b", 0)]]
    assert not tasks[3].done()
    tasks[3].cancel()
    await reads.close()


async def test_what_is_noted_during_the_read_is_read_next_though_its_tail_does_not_wait_yet(reads: Reads) -> None:
    tail = new_tail(reads)
    first = await begun(tail)
    await asyncio.to_thread(tail.note)
    await until(lambda: len(reads.places) == 1)
    await asyncio.to_thread(tail.note)
    reads.go.set()
    assert await first is not None
    await until(lambda: reads._reading is None)  # It has looked at the note, for a tail that does not wait.
    assert await tail.next() is not None
    assert len(reads.places) == 2


async def test_a_note_calls_the_loop_only_if_no_read_is_about_to_look(
    reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    tails = [new_tail(reads, str(number)) for number in range(3)]
    tasks = [await begun(tail) for tail in tails]
    calls: list[Any] = []
    loop = asyncio.get_running_loop()
    original = loop.call_soon_threadsafe

    def call(function: Any) -> Any:
        calls.append(function)
        return original(function)

    monkeypatch.setattr(loop, "call_soon_threadsafe", call)
    for tail in tails:
        tail.note()
    assert len(calls) == 1
    reads.go.set()
    await asyncio.gather(*tasks)
    await until(lambda: reads._reading is None)
    tails[1].note()
    assert len(calls) == 2


async def test_a_read_that_fails_fails_its_tails_and_the_next_one_serves_again(reads: Reads) -> None:
    tail = new_tail(reads)
    reads.error = Unavailable("refused")
    reads.go.set()
    task = await begun(tail)
    tail.note()
    with pytest.raises(Unavailable):
        await task
    reads.error = None
    tail.note()
    assert await tail.next() == Seen(1, over=False)


async def test_a_tail_that_is_gone_ends_without_a_read(reads: Reads) -> None:
    leaving: list[bool] = []
    tail = new_tail(reads, gone=lambda _: bool(leaving))
    task = await begun(tail)
    leaving.append(True)
    tail.wake()
    assert await task is None
    assert reads.places == []


async def test_those_who_wait_for_long_are_woken(reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.02)
    reads.go.set()
    waiting = _Waiting()
    tails = [_Tail(str(number), 0, reads, waiting, lambda _: False) for number in range(3)]
    for _ in range(3):  # The timer is set anew for those who come later.
        await asyncio.wait_for(asyncio.gather(*(tail.next() for tail in tails)), 60)
        assert all(tail.has_waited_long for tail in tails)
        assert (waiting._due_at, waiting._timer) == ({}, None)


async def test_a_wait_that_is_cancelled_leaves_nothing(reads: Reads) -> None:
    tail = new_tail(reads)
    task = await begun(tail)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (tail._waiting._due_at, tail._waiting._timer) == ({}, None)
    tail.note()
    await until(lambda: reads._reading is None and not reads._noted)
    assert reads.places == []


async def test_nothing_that_threads_note_is_lost_without_a_poll(reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line is noted once, by one of two threads. A lost note would leave its tail waiting for an hour."""
    monkeypatch.setattr(module, "POLL_S", 3600.0)
    monkeypatch.setattr(module, "TOGETHER_MAX", 3)
    written = dict.fromkeys("abcdefgh", 0)

    async def find(places: list[tuple[str, int]]) -> dict[int, Seen]:
        return {number: Seen(written[run_id], over=False) for number, (run_id, _) in enumerate(places)}

    monkeypatch.setattr(reads, "_find", find)
    tails = [new_tail(reads, run_id) for run_id in written]

    async def follow(tail: _Tail) -> None:
        while tail.after_seq < 200:
            seen = await tail.next()
            assert seen is not None
            tail.after_seq = seen.last_seq

    def write(mine: list[_Tail]) -> None:
        for seq in range(1, 201):
            for tail in mine:
                written[tail.run_id] = seq
                tail.note()
            time.sleep(0.0001)

    following = [asyncio.create_task(follow(tail)) for tail in tails]
    await asyncio.gather(*(asyncio.to_thread(write, mine) for mine in (tails[:4], tails[4:])))
    await asyncio.wait_for(asyncio.gather(*following), 60)


async def test_a_close_while_a_thread_notes_leaves_no_task(reads: Reads) -> None:
    tail = new_tail(reads)
    task = await begun(tail)
    tail.note()
    await asyncio.sleep(0)
    await reads.close()
    assert reads._reading is None
    task.cancel()


def test_a_note_for_a_loop_that_is_closed_is_dropped() -> None:
    async def make() -> _Tail:
        return new_tail(Reads())

    asyncio.run(make()).note()
