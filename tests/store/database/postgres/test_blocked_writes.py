"""Commands that meet a lock on PostgreSQL wait beside the writer: in order, within bounds, and each is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import Any

import psycopg
import pytest

from service.core.errors import Unavailable
from service.store import Store
from service.store.database.protocol import READERS_MAX, Database
from service.store.database.transaction import Transaction
from service.store.database.writing.blocked_writes import SAME_MAX
from service.store.database.writing.queued_write import QueuedWrite
from service.store.database.writing.writer import LOSSES_MAX
from tests.support.store.breaking import Breaking, committed_and_cut_off, committed_but_failed, cut_off_before
from tests.support.store.carrying import NAP, begun, events_of, parked, queue, single, status_of
from tests.support.store.control.commands import patched, paused, queued, running, waiting
from tests.support.store.harness import (
    COUNTER,
    Clock,
    ask,
    clean,
    commit,
    dump,
    gathering,
    key_of,
    opened,
    said,
    start_of,
    success,
    until_async,
)
from tests.support.store.locking import OTHER, locking, row, whole
from tests.support.store.servers import until_one_waits


@pytest.fixture
def database(kept: Database) -> Database:
    clean(kept)
    return kept


@pytest.mark.parametrize(
    ("prepare", "do", "status"),
    [
        (running, lambda store: store.control.cancel("r", within_s=0.2), "cancelled"),
        (queued, lambda store: store.control.pause("r", within_s=0.2), "paused"),
        (paused, lambda store: store.control.resume("r", patched(n=7), within_s=0.2), "queued"),
        (waiting, lambda store: store.signals.send("r", "ok", "1", key_of("k"), within_s=0.2), "waiting"),
    ],
)
async def test_a_call_for_a_locked_run_is_refused_at_its_deadline_and_changes_nothing(
    database: Database, prepare: Any, do: Callable[[Store], Awaitable[Any]], status: str
) -> None:
    async with opened(database, Clock()) as store:
        await prepare(store)
        await queue(store, "free", OTHER)
        before = dump(database)
        async with locking(database, row("r")):
            for _ in range(3):
                with pytest.raises(Unavailable, match="locked"):
                    await do(store)
            assert dump(database) == before
            await store.control.pause("free")
        await do(store)
        assert status_of(database, "r") == status
        assert ask(database, "SELECT count(*) FROM signals") == [(int(status == "waiting"),)]
        assert status_of(database, "free") == "paused"


async def test_what_comes_about_a_locked_run_is_done_in_the_order_in_which_it_came(database: Database) -> None:
    async with opened(database, Clock()) as store:
        claimed = await begun(store, "r", OTHER)
        async with locking(database, row("r")):
            written = [store.logs.append(claimed.lease, said(str(number))) for number in range(10)]
            await until_one_waits(database)
            written += [store.logs.append(claimed.lease, said(str(number))) for number in range(10, 20)]
            stepping = asyncio.ensure_future(commit(store, claimed.lease, success(claimed.run, n=1), said("20")))
            await asyncio.sleep(0)
            cancelling = asyncio.ensure_future(store.control.cancel("r"))
            await asyncio.sleep(0)
            late = store.logs.append(claimed.lease, said("too late"))
        assert await asyncio.gather(*map(asyncio.wrap_future, written)) == [True] * 20
        assert (await stepping).step == 1
        await cancelling
        assert not await asyncio.wrap_future(late)
        lines, last_seq, _ = await store.logs.page("r", 0, 100)
        assert [line.message for line in lines if line.event == "log"] == [str(number) for number in range(21)]
        assert [line.seq for line in lines] == list(range(1, last_seq + 1))
        assert lines[-1].event == "run_cancelled"


@pytest.mark.parametrize("share", [1, 2, 3], ids=["all", "every second", "every third"])
async def test_many_runs_of_one_batch_are_locked_and_the_others_go_on(database: Database, share: int) -> None:
    async with opened(database, Clock()) as store:
        await store.graphs.add(COUNTER)
        names = [f"{number:02}" for number in range(60)]
        await asyncio.gather(*(store.runs.start(start_of(name)) for name in names))
        claimed = {each.run.id: each for each in await store.leases.claim(100)}
        locked = names[::share]
        async with locking(database, *map(row, locked)):
            with gathering(store):
                waiting = {
                    name: asyncio.ensure_future(commit(store, each.lease, success(each.run, n=1)))
                    for name, each in claimed.items()
                }
                await until_async(lambda: len(store._writer._waiting) == len(names))
            for name in names:
                if name not in locked:
                    run = await waiting[name]
                    await commit(store, claimed[name].lease, success(run, n=2))
            assert not any(waiting[name].done() for name in locked)
        await asyncio.gather(*waiting.values())
        steps = {name: 1 if name in locked else 2 for name in names}
        assert dict(ask(database, "SELECT id, step FROM runs")) == steps


async def test_starts_of_a_locked_graph_wait_and_those_of_others_do_not(database: Database) -> None:
    async with opened(database, Clock()) as store:
        await store.graphs.add(COUNTER)
        await store.graphs.add(OTHER)
        async with locking(database, f"SELECT FROM graphs WHERE id = '{COUNTER.id}' FOR UPDATE"):
            names = [f"w{number}" for number in range(9)]
            waiting = [asyncio.ensure_future(store.runs.start(start_of(name), key_of(name))) for name in names]
            await until_one_waits(database)
            for number in range(10):
                assert (await store.runs.start(start_of(f"o{number}", OTHER), key_of(f"o{number}")))[1]
            assert not any(start.done() for start in waiting)
            hasty = await asyncio.gather(
                store.runs.start(start_of("hasty"), key_of("h"), within_s=0.2), return_exceptions=True
            )
            assert isinstance(hasty[0], Unavailable)
        assert await asyncio.gather(*waiting) == [(name, True) for name in names]
        # Its key was not used up.
        assert await store.runs.start(start_of("again"), key_of("h")) == ("again", True)
        assert {claimed.run.id for claimed in await store.leases.claim(100)} == {
            *names,
            *(f"o{number}" for number in range(10)),
            "again",
        }


async def test_a_table_that_everybody_needs_is_locked_and_all_recovers_when_the_lock_has_gone(
    database: Database,
) -> None:
    async with opened(database, Clock()) as store:
        claimed = {name: await begun(store, name, OTHER) for name in "abcdefgh"}
        async with locking(database, whole("runs")):
            waiting = [
                asyncio.ensure_future(commit(store, each.lease, success(each.run, n=1))) for each in claimed.values()
            ]
            claiming = asyncio.ensure_future(store.leases.claim(10))
            with pytest.raises(Unavailable):
                await store.control.cancel("a", within_s=0.2)
            with pytest.raises(Unavailable):
                await store.runs.start(start_of("new", OTHER), within_s=0.2)
            with pytest.raises(Unavailable):  # It locks what a step locks.
                await store.servers.probe(within_s=0.2)
            await store.graphs.add(single("add", name="new"), within_s=20)
            assert not any(each.done() for each in waiting)
        assert [run.step for run in await asyncio.gather(*waiting)] == [1] * 8
        assert await claiming == []
        assert (await store.runs.start(start_of("new", OTHER)))[1]


async def test_readers_of_a_locked_table_are_refused_and_do_not_keep_the_others_waiting(database: Database) -> None:
    async with opened(database, Clock()) as store:
        await parked(store, "r", NAP)
        async with locking(database, whole("waits")):
            blocked = [asyncio.ensure_future(store.history.why("r")) for _ in range(2 * READERS_MAX)]
            await until_one_waits(database)
            assert (await store.runs.get("r")).status == "waiting"
            refused = await asyncio.gather(*blocked, return_exceptions=True)
            assert all(isinstance(each, Unavailable) for each in refused)
        assert (await store.history.why("r")).wait is not None


async def test_no_more_than_so_many_commands_about_one_thing_wait_for_a_lock(database: Database) -> None:
    async with opened(database, Clock()) as store:
        claimed = await begun(store, "r", OTHER)
        async with locking(database, row("r")):
            written = [asyncio.wrap_future(store.logs.append(claimed.lease, said("x"))) for _ in range(SAME_MAX)]
            await until_one_waits(database)
            with pytest.raises(Unavailable, match="locked"):
                await asyncio.wrap_future(store.logs.append(claimed.lease, said("one too many")))
        assert await asyncio.gather(*written) == [True] * SAME_MAX


async def test_a_caller_that_is_gone_leaves_nothing_to_be_done(database: Database) -> None:
    async with opened(database, Clock()) as store:
        await queue(store, "r", OTHER)
        async with locking(database, row("r")):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(store.control.cancel("r"), 0.2)
            await until_async(lambda: not store._writer._blocked_writes._here)
        assert await store.control.pause("r") == "paused"
        assert status_of(database, "r") == "paused"


async def test_closing_refuses_what_still_meets_a_lock_and_does_the_rest(database: Database) -> None:
    async with opened(database, Clock()) as store:
        await queue(store, "locked", OTHER)
        await queue(store, "free", OTHER)
        async with locking(database, row("locked")):
            waiting = asyncio.ensure_future(store.control.cancel("locked"))
            await until_one_waits(database)
            rest = asyncio.ensure_future(store.control.cancel("free"))
            await asyncio.sleep(0)
            await store.close()
            with pytest.raises(Unavailable, match="stopping"):
                await waiting
            await rest
    assert [status_of(database, name) for name in ("locked", "free")] == ["queued", "cancelled"]
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert await until_async(lambda: ask(database, sessions) == [(0,)])


async def test_a_command_whose_connection_breaks_while_it_waits_for_a_lock_is_done_once(database: Database) -> None:
    waiting = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    async with opened(database, Clock()) as store:
        claimed = await begun(store, "r", OTHER)
        async with locking(database, row("r")):
            written = store.logs.append(claimed.lease, said("once"))
            stepping = asyncio.ensure_future(commit(store, claimed.lease, success(claimed.run, n=1)))
            for _ in range(LOSSES_MAX - 2):
                await until_async(lambda: ask(database, f"SELECT pg_terminate_backend(pid, 5000) {waiting}"))
            assert not stepping.done()
        assert await asyncio.wrap_future(written)
        assert (await stepping).step == 1
    assert events_of(database, "r") == ["run_started", "log", "step_completed"]


async def test_a_command_that_is_given_back_is_done_before_what_came_later_about_the_same(database: Database) -> None:
    waiting = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    terminate = f"SELECT pg_terminate_backend(pid, 5000) {waiting}"
    order: list[str] = []

    def noting(name: str) -> Callable[[Transaction], None]:
        def command(transaction: Transaction) -> None:
            transaction.cursor.execute("SELECT FROM runs WHERE id = 'r' FOR UPDATE")
            order.append(name)

        return command

    async with opened(database, Clock()) as store:
        await queue(store, "r", OTHER)
        blocked = store._writer._blocked_writes
        give_back = blocked._give_back
        later: list[Future[None]] = []

        def give_back_too_late(batch: Sequence[QueuedWrite[Any]]) -> None:
            """The later command is queued just before the earlier one is given back."""
            if not later:
                later.append(store._writer.submit(noting("later"), touches=("r",)))
            give_back(batch)

        blocked._give_back = give_back_too_late
        async with locking(database, row("r")):
            earlier = store._writer.submit(noting("earlier"), touches=("r",))
            while not later:
                await until_async(lambda: later or ask(database, terminate))
        for each in (earlier, *later):
            await asyncio.wrap_future(each)
    assert order == ["earlier", "later"]


@pytest.mark.parametrize("breaking", [committed_but_failed, committed_and_cut_off, cut_off_before])
async def test_a_commit_behind_a_lock_whose_outcome_is_unknown_is_read_back(database: Database, breaking: Any) -> None:
    async with opened(database, Clock()) as store:
        claimed = await begun(store, "r", OTHER)
        async with locking(database, row("r")):
            written = store.logs.append(claimed.lease, said("once"))
            stepping = asyncio.ensure_future(commit(store, claimed.lease, success(claimed.run, n=1)))
            sending = asyncio.ensure_future(store.signals.send("r", "ok", "1", key_of("k")))
            lane = store._writer._blocked_writes
            await until_async(lambda: lane._connection is not None and len(lane._here) == 3)
            lane._connection = Breaking(database, lane._connection, breaking, honest=0)
        assert await asyncio.wrap_future(written)
        assert (await stepping).step == 1
        assert await sending
    assert events_of(database, "r") == ["run_started", "log", "step_completed"]
    assert ask(database, "SELECT number, name FROM signals") == [(1, "ok")]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("SELECT 1 / 0", psycopg.DataError),
        ("SELECT nothing", psycopg.ProgrammingError),
        ("SET LOCAL statement_timeout = 10; SELECT pg_sleep(10)", Unavailable),
        ("SELECT pg_cancel_backend(pg_backend_pid())", Unavailable),
    ],
)
@pytest.mark.parametrize("locked", [False, True])
async def test_a_command_that_fails_each_time_costs_its_neighbours_nothing(
    database: Database, text: str, error: type[Exception], *, locked: bool
) -> None:
    async with opened(database, Clock()) as store:
        for name in ("r", "s"):
            await queue(store, name, OTHER)
        async with locking(database, *([row("r")] if locked else [])):
            with gathering(store):
                before = asyncio.ensure_future(store.control.cancel("r"))
                await asyncio.sleep(0)
                bad = store._writer.submit(lambda transaction: transaction.cursor.execute(text))
                after = asyncio.ensure_future(store.control.cancel("s"))
                await asyncio.sleep(0)
            await after
            with pytest.raises(error):
                await asyncio.wrap_future(bad)
        await before
        assert [status_of(database, name) for name in "rs"] == ["cancelled"] * 2


async def test_a_command_that_fails_where_it_touches_what_is_suspected_is_told_why(database: Database) -> None:
    """The lane gives it to the writer to judge, who does not hand it back for the suspicion alone."""

    async with opened(database, Clock()) as store:

        def failing(transaction: Transaction) -> None:
            transaction.cursor.execute("SELECT 1 / 0")

        async with locking(database, whole("signals")):
            blocked = asyncio.ensure_future(store._writer.write(_touch_signals, touches=("a", "signals")))
            await until_async(lambda: "signals" in store._writer._blocked_writes._suspected)
            with pytest.raises(psycopg.errors.DivisionByZero):
                await store._writer.write(failing, touches=("b", "signals"), within_s=20)
            assert not blocked.done()
        await blocked


def _touch_signals(transaction: Transaction) -> None:
    transaction.cursor.execute("SELECT 1 FROM signals LIMIT 1 FOR UPDATE")
