"""A loop that commits what it writes itself: on its own thread, many at once, and never waiting for anybody."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from service.core.errors import Unavailable
from service.store.database.local_events import LocalEvents
from service.store.database.notifier import NoNotifier
from service.store.database.required_tables import RequiredTables
from service.store.database.sqlite.connections import Sqlite
from service.store.database.transaction import Transaction
from service.store.database.writing import queued_write as writing
from service.store.database.writing.writer import BATCH_MAX, Writer
from tests.support.store.harness import ask, locked, until_async
from tests.support.store.writing import add, held, raising


@asynccontextmanager
async def inline(database: Sqlite) -> AsyncIterator[Writer]:
    writer = Writer(database, LocalEvents(), NoNotifier(), RequiredTables(database, ()))
    writer.start()
    writer.commit_inline()
    try:
        async with asyncio.timeout(60):
            yield writer
    finally:
        await asyncio.to_thread(writer.close)
        assert not writer._thread.is_alive()


@pytest.fixture
def left_to_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread leaves everything to the loop, however busy the machine is."""
    monkeypatch.setattr(writing, "LOOP_S", 3600.0)


def noting(threads: list[int], name: str) -> Callable[[Transaction], str]:
    def command(transaction: Transaction) -> str:
        threads.append(threading.get_ident())
        return str(add(name)(transaction))

    return command


@pytest.mark.usefixtures("left_to_loop")
async def test_what_is_ready_at_once_is_one_commit_on_the_thread_of_the_loop(file: Sqlite) -> None:
    async with inline(file) as writer:
        statements: list[str] = []
        writer._write_connection.connection.set_trace_callback(statements.append)
        threads: list[int] = []
        names = [f"{number:03}" for number in range(BATCH_MAX)]
        assert await asyncio.gather(*(writer.write(noting(threads, name)) for name in names)) == names
        writer._write_connection.connection.set_trace_callback(None)
        assert set(threads) == {threading.get_ident()}
        assert statements.count("COMMIT") == 1
        assert held(file) == names


async def test_more_than_one_batch_is_all_written(file: Sqlite) -> None:
    async with inline(file) as writer:
        names = [f"{number:04}" for number in range(3 * BATCH_MAX + 1)]
        assert await asyncio.gather(*(writer.write(add(name)) for name in names)) == names
        assert held(file) == names


@pytest.mark.parametrize("who", ["the loop itself", "another thread"])
async def test_a_loop_that_is_held_up_keeps_nobody_waiting(file: Sqlite, who: str) -> None:
    async with inline(file) as writer:
        threads: list[int] = []
        assert await writer.write(noting(threads, "before")) == "before"
        # The writer's thread has nothing to do by now, and waits to be called.
        await until_async(lambda: not writer._queue.called.is_set())
        if who == "the loop itself":
            submitted = writer.submit(noting(threads, "held up"))
        else:
            submitted = await asyncio.to_thread(writer.submit, noting(threads, "held up"))
        # As a tool does that blocks: the loop gets to nothing until this is answered.
        assert submitted.result(60) == "held up"


async def test_while_the_loop_is_held_up_others_are_served_at_once(file: Sqlite) -> None:
    async with inline(file) as writer:
        writer.submit(add("first")).result(60)
        # That the loop does nothing is known by now: what comes next is not left to it first.
        second = writer.submit(lambda _: writer._is_held_up)
        assert second.result(60)
        assert writer._queue.left_s(is_left_to_loop=writer._leaves_to_loop()) == 0.0
        # Until it is heard of again.
        assert await writer.write(add("third")) == "third"
        await until_async(lambda: not writer._is_held_up)


async def test_a_command_past_its_deadline_does_not_end_the_thread(file: Sqlite) -> None:
    async with inline(file) as writer:
        late = writer.submit(add("late"), within_s=0.0)
        failing = writer.submit(raising)
        for future, error in ((late, Unavailable), (failing, KeyError)):
            with pytest.raises(error):
                await asyncio.wrap_future(future)
        assert await writer.write(add("next")) == "next"
        assert writer._thread.is_alive()


async def test_what_the_loop_left_while_another_had_the_turn_is_written_all_the_same(file: Sqlite) -> None:
    async with inline(file) as writer:
        inside, gate = threading.Event(), threading.Event()
        own = writer._inline_loops.here()
        assert own is not None

        def hold(_transaction: Transaction) -> None:
            inside.set()
            assert gate.wait(60)

        with locked(file):
            held_by_thread = writer.submit(hold)
            await until_async(lambda: not writer._waiting)  # The thread has it: the loop could not do it at once.
        assert await asyncio.to_thread(inside.wait, 60)
        waiting = asyncio.ensure_future(writer.write(add("waiting")))
        await until_async(lambda: not own.is_called)
        assert not waiting.done()
        gate.set()
        assert await waiting == "waiting"
        held_by_thread.result(60)


async def test_the_thread_does_not_take_the_turn_for_nothing(file: Sqlite) -> None:
    """It would be in the way of a loop that has something to commit."""
    async with inline(file) as writer:
        await writer.write(add("first"))
        with writer._turn:
            for _ in range(3):  # If it waited for the turn, it would not look at the second call.
                writer._queue.called.set()
                await until_async(lambda: not writer._queue.called.is_set())


async def test_when_the_loop_is_gone_the_thread_writes_again(file: Sqlite) -> None:
    writer = Writer(file, LocalEvents(), NoNotifier(), RequiredTables(file, ()))
    writer.start()

    writer.commit_inline()
    assert await writer.write(add("inline")) == "inline"
    assert writer.submit(add("nobody said so")).result(60) == "nobody said so"
    writer.commit_on_thread()
    assert writer.submit(add("thread")).result(60) == "thread"
    writer.close()
    assert held(file) == ["inline", "nobody said so", "thread"]


async def test_a_locked_database_keeps_its_caller_waiting_and_nobody_else(file: Sqlite) -> None:
    async with inline(file) as writer:
        with locked(file):
            patient = asyncio.ensure_future(writer.write(add("patient")))
            with pytest.raises(Unavailable):
                # Refused when its time is over, which the loop is there to see.
                await writer.write(add("hasty"), within_s=0.05)
            assert not patient.done()
        assert await patient == "patient"
        assert held(file) == ["patient"]


@pytest.mark.parametrize(
    ("bad", "error"),
    [(raising, KeyError), (add("0"), sqlite3.IntegrityError), (add("\ud800"), UnicodeEncodeError)],
)
async def test_a_command_that_fails_costs_its_neighbours_nothing(
    file: Sqlite, bad: Any, error: type[Exception]
) -> None:
    async with inline(file) as writer:
        commands = [add("0"), add("1"), bad, add("2")]
        outcomes = await asyncio.gather(*(writer.write(command) for command in commands), return_exceptions=True)
        assert [outcome for outcome in outcomes if isinstance(outcome, str)] == ["0", "1", "2"]
        assert isinstance(outcomes[2], error)
        assert held(file) == ["0", "1", "2"]


async def test_what_other_threads_queued_first_is_written_first(file: Sqlite) -> None:
    """The lines of an attempt come before the commit of its step, whichever thread writes them."""

    async with inline(file) as writer:
        order: list[int] = []
        for number in range(0, 200, 2):
            submitted = writer.submit(partial(_note, order, number))
            await writer.write(partial(_note, order, number + 1))
            assert submitted.done()
        assert order == list(range(200))


async def test_a_command_cancelled_while_it_waits_is_not_run(file: Sqlite) -> None:
    async with inline(file) as writer:
        with locked(file):
            cancelled = asyncio.ensure_future(writer.write(add("cancelled")))
            await asyncio.sleep(0)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
        assert await writer.write(add("next")) == "next"
        assert held(file) == ["next"]


def test_two_loops_and_a_thread_write_everything_once(file: Sqlite) -> None:
    async def scenario() -> None:
        async with inline(file) as writer:
            other = asyncio.to_thread(lambda: asyncio.run(_write_all(writer, "other")))
            submitted = [writer.submit(add(f"thread {number}")) for number in range(100)]
            await asyncio.gather(other, _write_all(writer, "inline"))
            for future in submitted:
                await asyncio.wrap_future(future)
            assert ask(file, "SELECT count(*) FROM graphs") == [(700,)]

    asyncio.run(scenario())


def _note(order: list[int], number: int, _transaction: Transaction) -> None:
    order.append(number)


async def _write_all(writer: Writer, name: str) -> None:
    for number in range(100):
        await asyncio.gather(*(writer.write(add(f"{name} {number} {each}")) for each in range(3)))
