"""One writer: what waits is committed together, and no command suffers for its neighbour or for a locked database."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from service.core.errors import StartRefused, Unavailable
from service.store.database.local_events import LocalEvents
from service.store.database.notifier import NoNotifier
from service.store.database.required_tables import RequiredTables
from service.store.database.sqlite.connections import Sqlite
from service.store.database.transaction import Transaction
from service.store.database.writing.writer import BATCH_MAX, Writer
from tests.support.store.harness import ask, locked
from tests.support.store.writing import add, held, raising


@pytest.fixture
def database(file: Sqlite) -> Sqlite:
    return file


@contextmanager
def working(database: Sqlite) -> Iterator[Writer]:
    writer = Writer(database, LocalEvents(), NoNotifier(), RequiredTables(database, ()))
    writer.start()
    try:
        yield writer
    finally:
        writer.close()
        assert not writer._thread.is_alive()


@contextmanager
def gathering(writer: Writer) -> Iterator[None]:
    """Whatever is submitted within lands in one batch."""
    inside, gate = threading.Event(), threading.Event()

    def wait(_transaction: Transaction) -> None:
        inside.set()
        assert gate.wait(60)

    busy = writer.submit(wait)
    assert inside.wait(60)
    yield
    gate.set()
    busy.result(60)


def commits(writer: Writer, statements: list[str]) -> int:
    writer.submit(lambda _: writer._write_connection.connection.set_trace_callback(None)).result(60)
    return statements.count("COMMIT") - 1  # But that of tracing itself.


def trace(writer: Writer) -> list[str]:
    statements: list[str] = []
    writer.submit(lambda _: writer._write_connection.connection.set_trace_callback(statements.append)).result(60)
    return statements


def test_commands_that_wait_are_committed_in_one_transaction(database: Sqlite) -> None:
    with working(database) as writer:
        statements = trace(writer)
        with gathering(writer):
            futures = [writer.submit(add(f"{number:03}")) for number in range(BATCH_MAX)]
        assert [future.result(60) for future in futures] == held(database)
        assert commits(writer, statements) == 2  # That of `gathering`, and theirs.


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (raising, KeyError),
        (add("0"), sqlite3.IntegrityError),
        (lambda transaction: transaction.cursor.execute("nonsense"), Unavailable),
        (add("\ud800"), UnicodeEncodeError),
    ],
)
def test_a_command_that_fails_costs_its_neighbours_nothing(database: Sqlite, bad: Any, error: type[Exception]) -> None:
    with working(database) as writer:
        with gathering(writer):
            before = [writer.submit(add(name)) for name in "01"]
            failing: Future[Any] = writer.submit(bad)
            after = [writer.submit(add(name)) for name in "23"]
        assert [future.result(60) for future in (*before, *after)] == list("0123")
        with pytest.raises(error):
            failing.result(60)
        assert held(database) == list("0123")


def test_commands_run_in_the_order_in_which_they_were_submitted(database: Sqlite) -> None:
    order: list[int] = []

    def noting(number: int, _transaction: Transaction) -> None:
        order.append(number)

    with working(database) as writer:
        futures = [writer.submit(partial(noting, number)) for number in range(1000)]
        for future in futures:
            future.result(60)
    assert order == list(range(1000))


def test_a_command_without_a_deadline_waits_for_a_locked_database_and_one_with_a_deadline_does_not(
    database: Sqlite,
) -> None:
    with working(database) as writer:
        with locked(database):
            patient = writer.submit(add("patient"))
            _until(lambda: not writer._waiting)
            # One that comes while the batch before it already waits is told in time as well.
            hasty = writer.submit(add("hasty"), within_s=0.05)
            with pytest.raises(Unavailable):
                hasty.result(60)
            later = writer.submit(add("later"), within_s=60)
            assert not patient.done()
        assert patient.result(60) == "patient"
        assert later.result(60) == "later"
        assert held(database) == ["later", "patient"]


def test_a_batch_that_fails_while_the_database_is_locked_is_replayed_once_it_is_free(
    database: Sqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    intruder = sqlite3.connect(database.name, isolation_level=None, check_same_thread=False)
    intruding = threading.Event()
    with working(database) as writer, closing(intruder):
        roll_back, begin = writer._write_connection.roll_back, Sqlite.begin
        tries: list[None] = []

        def begin_and_count(database: Sqlite, connection: sqlite3.Connection) -> int:
            tries.append(None)
            return begin(database, connection)

        def roll_back_and_let_another_process_in() -> None:
            roll_back()
            if not intruding.is_set():
                intruder.execute("BEGIN IMMEDIATE")
                intruding.set()

        monkeypatch.setattr(Sqlite, "begin", begin_and_count)
        monkeypatch.setattr(writer._write_connection, "roll_back", roll_back_and_let_another_process_in)
        with gathering(writer):
            futures = [writer.submit(command) for command in (add("a"), raising, add("b"))]
        assert intruding.wait(60)
        tried = len(tries)
        _until(lambda: len(tries) >= tried + 2)
        intruder.execute("ROLLBACK")
        assert [futures[0].result(60), futures[2].result(60)] == held(database) == ["a", "b"]
        assert isinstance(futures[1].exception(10), KeyError)


def test_a_command_cancelled_while_it_waits_is_not_run(database: Sqlite) -> None:
    with working(database) as writer:
        with locked(database):
            cancelled = writer.submit(add("cancelled"))
            _until(lambda: not writer._waiting)
            assert cancelled.cancel()
        assert writer.submit(add("next")).result(60) == "next"
        assert held(database) == ["next"]


def test_a_command_cancelled_while_its_transaction_opens_leaves_none_open(
    database: Sqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    with working(database) as writer:
        statements = trace(writer)
        still_waits = writer._still_waits

        def cancelled_right_after(pending: Any) -> bool:
            return still_waits(pending) and bool(pending.future.cancel())

        with monkeypatch.context() as patch:
            patch.setattr(writer, "_still_waits", cancelled_right_after)
            with pytest.raises(CancelledError):
                writer.submit(add("cancelled")).result(60)
            _until(lambda: "BEGIN IMMEDIATE" in statements)
            _until(lambda: not writer._write_connection.connection.in_transaction)
        # Somebody else can write, though the writer has nothing to do any more.
        with locked(database):
            assert held(database) == []
        assert writer.submit(add("next")).result(60) == "next"


async def test_a_cancelled_caller_leaves_its_command_done_or_undone_but_not_half(database: Sqlite) -> None:
    async def scenario(writer: Writer) -> None:
        with gathering(writer):
            task = asyncio.ensure_future(writer.write(add("a")))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            kept = writer.submit(add("b"))
        assert await asyncio.wrap_future(kept) == "b"

    with working(database) as writer:
        await scenario(writer)
    assert held(database) == ["b"]


def test_a_full_database_is_unavailable_and_goes_on_when_there_is_room(database: Sqlite) -> None:
    with working(database) as writer:

        def limit(pages: int) -> None:
            def command(transaction: Transaction) -> None:
                transaction.cursor.execute(f"PRAGMA max_page_count = {pages}").fetchall()

            writer.submit(command).result(60)

        limit(1)  # SQLite takes the present size then.
        with gathering(writer):
            big, small = writer.submit(add("big", 100_000)), writer.submit(add("small"))
        with pytest.raises(Unavailable, match="full"):
            big.result(60)
        assert small.result(60) == "small"
        limit(2**30)
        assert writer.submit(add("big", 100_000)).result(60) == "big"
        assert held(database) == ["big", "small"]


def test_a_disk_that_takes_no_more_is_unavailable_and_goes_on_when_there_is_room(database: Sqlite) -> None:
    with working(database) as writer:
        assert writer.submit(add("before")).result(60) == "before"
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        # SIGXFSZ is ignored by Python, so that writing beyond the limit is an error of SQLite's.
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(Unavailable):
                writer.submit(add("too big", 1_000_000)).result(60)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert writer.submit(add("too big", 1_000_000)).result(60) == "too big"
        assert held(database) == ["before", "too big"]
        assert ask(database, "PRAGMA integrity_check") == [("ok",)]


def test_a_server_may_start_while_another_process_writes(database: Sqlite) -> None:
    with locked(database), working(database) as writer, pytest.raises(Unavailable):
        writer.submit(add("a"), within_s=0).result(60)


def test_a_server_does_not_start_on_what_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "rungraph.db").write_bytes(b"no database" * 1000)
    database = Sqlite(tmp_path / "rungraph.db")
    with pytest.raises(StartRefused, match="cannot write"):
        Writer(database, LocalEvents(), NoNotifier(), RequiredTables(database, ())).start()


def test_closing_commits_what_waits_and_refuses_what_comes(database: Sqlite) -> None:
    with working(database) as writer:
        with gathering(writer):
            waiting = [writer.submit(add(str(number))) for number in range(5)]
            closer = threading.Thread(target=writer.close)
            closer.start()
            _until(writer._closing.is_set)
            with pytest.raises(Unavailable, match="stopping"):
                writer.submit(add("late")).result(60)
        closer.join()
        assert [future.result(0) for future in waiting] == held(database)


def test_a_command_that_comes_in_while_the_writer_closes_is_told_its_end(
    database: Sqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    with working(database) as writer:
        closer = threading.Thread(target=writer.close)

        class ClosingFirst(deque[Any]):
            def append(self, pending: Any) -> None:
                closer.start()
                closer.join(0.1)  # It cannot end before this command is queued.
                super().append(pending)

        waiting = ClosingFirst()
        monkeypatch.setattr(writer._queue, "waiting", waiting)
        monkeypatch.setattr(writer, "_waiting", waiting)
        assert writer.submit(add("a")).result(60) == "a"
        closer.join()


def test_closing_on_a_locked_database_tells_those_that_wait(database: Sqlite) -> None:
    with working(database) as writer, locked(database):
        waiting = writer.submit(add("a"))
        writer.close()
        with pytest.raises(Unavailable, match="stopping"):
            waiting.result(0)


def test_the_writer_outlives_a_loop_that_has_closed(database: Sqlite) -> None:
    wake = LocalEvents()
    loop = asyncio.new_event_loop()

    async def subscribe() -> Any:
        subscription = wake.subscribe("a")
        subscription.__enter__()
        return subscription

    kept = loop.run_until_complete(subscribe())
    loop.close()
    writer = Writer(database, wake, NoNotifier(), RequiredTables(database, ()))
    writer.start()
    assert writer.submit(add("a")).result(60) == "a"
    assert writer.submit(add("b")).result(60) == "b"
    writer.close()
    kept.__exit__(None, None, None)


async def test_topics_are_woken_once_what_they_tell_of_is_committed(database: Sqlite) -> None:
    wake = LocalEvents()
    writer = Writer(database, wake, NoNotifier(), RequiredTables(database, ()))
    writer.start()
    with wake.subscribe("a") as woken, wake.subscribe("b") as other:
        await writer.write(add("a"))
        async with asyncio.timeout(60):
            await woken.wait()
        assert held(database) == ["a"]
        assert not other.is_set()
    writer.close()
    assert not wake._subscribers


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
