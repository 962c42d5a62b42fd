"""Law 16 on PostgreSQL: whoever locks a row or a table holds up the commands that touch it, and no others.

Every command is put behind a lock of somebody else's. The commands of other runs go on while that is held. When it has
gone the command is done, once, and the tables hold what they would hold if nothing had been locked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from service.core.errors import Unavailable
from service.store import Store
from service.store.commands.children import child_id
from service.store.commands.claim import LOCKED_S
from service.store.commands.servers import FORGET_S
from service.store.database.blocked_writes import SAME_MAX
from service.store.database.opening import database_at
from service.store.database.postgres.connections import Postgres
from service.store.database.protocol import READERS_MAX, Database
from service.store.database.transaction import Transaction
from service.store.database.writer import LOSSES_MAX
from service.store.rows.records import Claimed, Lease
from tests.support.postgres import Databases
from tests.support.store.breaking import Breaking, committed_and_cut_off, committed_but_failed, cut_off_before
from tests.support.store.carrying import LATER, LEAF, NAP, begun, events_of, fan, parked, queue, single, status_of
from tests.support.store.control_verbs import FIRST, patched, paused, queued, running, waiting
from tests.support.store.harness import (
    COUNTER,
    LEASE_S,
    Clock,
    ask,
    claim_one,
    clean,
    commit,
    dump,
    gathering,
    key_of,
    opened,
    said,
    start,
    start_of,
    success,
    until_async,
)
from tests.support.store.servers import until_one_waits
from tests.support.store.verbs import VERBS, nothing

ROUNDS = 5
"""Of commands of other runs, behind each lock."""
OTHER = single("add", edges={"a": "a"}, name="other")
COUNTING = single({"tool": "add", "max_visits": 5}, edges={"a": "a"}, name="counting")
SIBLING = child_id("p", 1, 1, 1)


@pytest.fixture(scope="module")
def kept(postgres: Databases) -> Iterator[Database]:
    url = postgres.migrated()
    yield database_at(url)
    postgres.drop(url)


@pytest.fixture
def database(kept: Database) -> Database:
    clean(kept)
    return kept


@asynccontextmanager
async def locking(database: Database, *texts: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Somebody has done `texts` in a transaction that stays open within, and is rolled back then."""
    assert isinstance(database, Postgres)
    async with await psycopg.AsyncConnection.connect(database.conninfo) as connection:
        for text in texts:
            await connection.execute(text.encode())
        yield connection
        await connection.rollback()


def row(run_id: str) -> str:
    return f"UPDATE runs SET tags = tags WHERE id = '{run_id}'"


def whole(table: str, mode: str = "ACCESS EXCLUSIVE") -> str:
    return f"LOCK TABLE {table} IN {mode} MODE"


# What each command is put behind. What it answers and leaves is what `VERBS` and an honest execution say.

ITS_RUN = "SELECT FROM runs WHERE id IN ('r', 'p') FOR UPDATE"
ITS_GRAPH = f"SELECT FROM graphs WHERE id <> '{OTHER.id}' FOR UPDATE"
ITS_PARENT = row("p")
ITS_SIBLING = row(SIBLING)
ITS_CHILD = row(FIRST)
ITS_KEY = "INSERT INTO idempotency_keys VALUES ('POST /graph/run', 'k', 'another body', 'nobody')"
THE_SAME_GRAPH = f"INSERT INTO graphs VALUES ('{COUNTER.id}', '', 'a', '', now())"
THE_SAME_RUN = (
    "INSERT INTO runs (id, graph_id, status, step, attempt, crashes, in_flight, last_seq, lease_token, tags, due_at,"
    " created_at, moved_at, current_node) SELECT 'r', id, 'queued', 0, 1, 0, 0, 0, 0, '', now(), now(), now(), 'a'"
    " FROM graphs LIMIT 1"
)
THE_SAME_SERVER = "INSERT INTO servers VALUES ('one', '', now(), now(), 0)"

PLAIN = ("begin", "release", "interrupt", "advance", "end", "fail", "append", "append twice", "append, then advance")
OF_PARENTS = ("cancel a parent", "start all children", "start some children", "join", "fail for a child")
OF_CHILDREN = ("cancel a child", "end a child", "fail a child")
OF_RUNS = (
    *("send", "send with a key", "send to one that waits", "cancel", "cancel one that waits"),
    *("pause", "pause one that runs", "pause one that waits", "withdraw a pause"),
    *("resume", "resume with a patch", "resume one that failed", "resume one that waited"),
    *("park", "park with mail", "park, then pause", "step, then pause", "retry", "consume"),
)

BEHIND: list[tuple[str, str]] = [
    *((verb, ITS_RUN) for verb in (*PLAIN, *OF_RUNS, *OF_PARENTS)),
    *((verb, ITS_PARENT) for verb in OF_CHILDREN),
    *((verb, ITS_CHILD) for verb in (*OF_CHILDREN, "cancel a parent")),
    ("fail for a child", ITS_SIBLING),
    *((verb, ITS_GRAPH) for verb in ("start", "start with a key", "start all children")),
    ("add", whole("graphs", "SHARE")),
    ("start with a key", ITS_KEY),
    *((verb, THE_SAME_RUN) for verb in ("start", "start with a key")),
    ("add", THE_SAME_GRAPH),
    *((verb, THE_SAME_SERVER) for verb in ("join the servers", "probe")),
    *((verb, whole("servers")) for verb in ("join the servers", "probe", "leave the servers")),
    ("consume", "SELECT FROM signals FOR UPDATE"),
    *((verb, "SELECT FROM waits FOR UPDATE") for verb in ("consume", "join", "end a wait with a patch")),
    *((verb, whole("signals")) for verb in ("send", "consume", "park", "resume", "end a child")),
    *((verb, whole("signals", "SHARE ROW EXCLUSIVE")) for verb in ("send", "consume")),
    *((verb, whole("waits")) for verb in ("park", "resume", "cancel", "retry", "end a child", "join")),
    *((verb, whole("visits")) for verb in ("resume", "resume with a patch")),
    *((verb, "CREATE INDEX a ON attempts (error)") for verb in ("fail", "interrupt", "retry")),
    *((verb, "ALTER TABLE idempotency_keys ADD COLUMN b text") for verb in ("start with a key", "send with a key")),
    *((verb, whole("run_tags", "SHARE")) for verb in ("start", "start with a key")),
]


async def waiting_and_paused(store: Store) -> None:
    await parked(store, "r", NAP)
    await store.control.pause("r")


ALL_VERBS: dict[str, Any] = {
    **VERBS,
    "probe": (nothing, lambda store, _: store.servers.probe(within_s=60)),
    "join the servers": (nothing, lambda store, _: store.servers.join()),
    "leave the servers": (nothing, lambda store, _: store.servers.leave()),
    "end a wait with a patch": (waiting_and_paused, lambda store, _: store.control.resume("r", patched(n=7))),
}


async def go_on(store: Store, other: Claimed) -> None:
    """Commands of a run that nobody has locked, one after the other."""
    run = other.run
    for number in range(ROUNDS):
        assert await asyncio.wrap_future(store.logs.append(other.lease, said(f"line {number}")))
        run = await commit(store, other.lease, success(run, n=number), said("at its end"), at=LATER)
        assert await asyncio.wrap_future(store.leases.renew([other.lease])) == []


async def execute(database: Database, verb: str, lock: str | None) -> Any:
    """The verb's answer, and then every row: behind `lock`, or of an execution where nothing is locked."""
    prepare, do = ALL_VERBS[verb]
    async with opened(database, Clock()) as store:
        given = await prepare(store)
        other = await begun(store, "other", OTHER)
        if lock is None:
            answer = await do(store, given)
            await go_on(store, other)
        else:
            async with locking(database, lock):
                waiting = asyncio.ensure_future(do(store, given))
                await until_one_waits(database)
                await go_on(store, other)
                assert not waiting.done()
            answer = await waiting
    return answer, {table: sorted(rows, key=repr) for table, rows in dump(database).items()}


@pytest.mark.parametrize(("verb", "lock"), BEHIND)
def test_a_command_behind_a_lock_is_done_once_and_holds_up_no_other(database: Database, verb: str, lock: str) -> None:
    async def scenario() -> None:
        honest = await execute(database, verb, None)
        clean(database)
        assert await execute(database, verb, lock) == honest

    asyncio.run(scenario())


def test_every_command_is_put_behind_a_lock() -> None:
    """But for what passes over locked rows, and for what SQLite alone does; see the tests below."""
    passing = {"claim", "claim one of two", "renew", "share", "seize"}
    assert {verb for verb, _ in BEHIND} | passing == {*ALL_VERBS}


def test_a_claim_passes_over_runs_that_somebody_has_locked(database: Database) -> None:
    async def scenario() -> None:
        async with opened(database, Clock()) as store:
            for name in ("locked", "free"):
                await start(store, name)
            async with locking(database, row("locked")):
                assert [claimed.run.id for claimed in await store.leases.claim(10)] == ["free"]
            assert [claimed.run.id for claimed in await store.leases.claim(10)] == ["locked"]

    asyncio.run(scenario())


BELONGS = (
    "SELECT FROM attempts FOR UPDATE",
    "SELECT FROM log_lines FOR UPDATE",
    "SELECT FROM waits FOR UPDATE",
    "SELECT FROM visits FOR UPDATE",
    "SELECT FROM graphs FOR UPDATE",
    "SELECT FROM changes FOR UPDATE",
    f"UPDATE runs SET tags = tags WHERE id = '{FIRST}'",
    "INSERT INTO attempts VALUES ('crashed', 1, 1, '{}', now(), now())",
    "INSERT INTO log_lines (run_id, seq, ts, level, event, message, data)"
    " SELECT id, last_seq + 1, now(), 'info', 'log', '', '{}' FROM runs WHERE id = 'crashed'",
)
"""Rows that a claim reads or writes beside those of the runs."""


async def all_kinds_due(store: Store, clock: Clock) -> None:
    """Runs that were left in an attempt, have waited, or count their visits; a parent, and its child."""
    await begun(store, "crashed", OTHER)
    await parked(store, "waited", NAP)
    await parked(store, "p", fan(), LEAF, items=[1])
    await queue(store, "counts", COUNTING, n=0)
    clock.advance(2 * LEASE_S)


@pytest.mark.parametrize("lock", BELONGS)
def test_a_claim_is_not_held_up_by_rows_that_belong_to_runs(database: Database, lock: str) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with opened(database, clock) as store:
            await all_kinds_due(store, clock)
            async with locking(database, lock):
                found = {claimed.run.id for claimed in await store.leases.claim(10)}
                # Whoever writes what belongs to a run locks its row with that, by the foreign key.
                assert {"crashed", "waited", "counts", FIRST} - found <= {"crashed", FIRST}
                assert len(found) >= 3
            found |= {claimed.run.id for claimed in await store.leases.claim(10)}
            assert found == {"crashed", "waited", "counts", FIRST}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("lock", "held_up"),
    [
        (whole("attempts", "SHARE"), {"crashed"}),
        (whole("visits"), {"counts"}),
        (whole("waits"), {"crashed", "waited"}),
        (whole("signals"), set()),
        (whole("run_tags"), set()),
        (whole("idempotency_keys"), set()),
        (whole("servers"), set()),
    ],
)
def test_a_claim_takes_the_runs_that_do_not_need_a_locked_table(
    database: Database, lock: str, held_up: set[str]
) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with opened(database, clock) as store:
            await all_kinds_due(store, clock)
            everything = {"crashed", "waited", "counts", FIRST}
            async with locking(database, lock):
                for _ in range(2):
                    # As a supervisor does: which of the two comes first must not matter.
                    assert await store.servers.share(10, 0) == 10
                assert {claimed.run.id for claimed in await store.leases.claim(10)} == everything - held_up
                assert await store.leases.claim(10) == []
            clock.advance(LOCKED_S)
            assert {claimed.run.id for claimed in await store.leases.claim(10)} == held_up

    asyncio.run(scenario())


def test_a_renewal_passes_over_a_locked_run_and_does_not_take_it_for_lost(database: Database) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with opened(database, clock) as store, opened(database, clock, "two") as another:
            held = {name: await begun(store, name, OTHER) for name in ("locked", "free", "lost")}
            await store.control.cancel("lost")
            leases = [claimed.lease for claimed in held.values()]
            async with locking(database, row("locked")):
                for _ in range(4):
                    clock.advance(LEASE_S / 2)
                    assert await asyncio.wrap_future(store.leases.renew(leases)) == [held["lost"].lease]
                # Its term is over, and yet nobody can take it over; those of the others are not.
                assert await another.leases.claim(10) == []
            assert await asyncio.wrap_future(store.leases.renew(leases)) == [held["lost"].lease]
            assert await another.leases.claim(10) == []
            run = await commit(store, held["locked"].lease, success(held["locked"].run, n=1))
            assert run.step == 1

    asyncio.run(scenario())


def test_a_run_whose_server_lives_is_taken_over_only_when_it_is_not_renewed_for_longer(database: Database) -> None:
    """A claim may come first when the lock has gone, and would discard a step that waits to be committed."""

    async def scenario() -> None:
        clock = Clock()
        async with opened(database, clock) as store, opened(database, clock, "two") as another:
            claimed = await begun(store, "r", OTHER)
            for _ in range(2):
                async with locking(database, row("r")):
                    clock.advance(3 * LEASE_S)
                    assert await another.leases.claim(10) == []
                clock.advance(1)
                await asyncio.wrap_future(store.leases.renew([]))
                assert await another.leases.claim(10) == []
                clock.advance(LEASE_S / 3)
                assert await another.leases.claim(10) == []
                assert await asyncio.wrap_future(store.leases.renew([claimed.lease])) == []
            run = await commit(store, claimed.lease, success(claimed.run, n=1))
            assert run.step == 1
            # Its server has dropped it, for whatever reason, while it was locked.
            clock.advance(2 * LEASE_S)
            async with locking(database, row("r")):
                assert await another.leases.claim(10) == []
            clock.advance(1)
            await asyncio.wrap_future(store.leases.renew([]))
            assert await another.leases.claim(10) == []
            clock.advance(LEASE_S / 2)
            await asyncio.wrap_future(store.leases.renew([]))
            assert (await claim_one(another)).lease == Lease("r", 2)
            # And now this one has died.
            await asyncio.wrap_future(another.leases.renew([Lease("r", 2)]))
            clock.advance(LEASE_S)
            assert (await claim_one(store)).lease == Lease("r", 3)

    asyncio.run(scenario())


def test_a_locked_row_of_a_server_holds_up_neither_renewals_nor_shares(database: Database) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with opened(database, clock) as store, opened(database, clock, "two") as another:
            await another.servers.join()
            await store.servers.join()
            mine = await begun(store, "r", OTHER)
            async with locking(database, "SELECT FROM servers FOR UPDATE"):
                for active in range(1, 5):
                    clock.advance(LEASE_S / 2)
                    assert await store.servers.share(10, active) <= 10
                    assert await asyncio.wrap_future(store.leases.renew([mine.lease])) == []
                clock.advance(2 * FORGET_S)
                async with opened(database, clock, "three") as third:
                    await third.servers.join()  # Which forgets those that are gone, but for the locked ones.
                with pytest.raises(Unavailable, match="locked"):
                    await store.servers.probe(within_s=0.2)
            await store.servers.probe(within_s=20)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("prepare", "do", "status"),
    [
        (running, lambda store: store.control.cancel("r", within_s=0.2), "cancelled"),
        (queued, lambda store: store.control.pause("r", within_s=0.2), "paused"),
        (paused, lambda store: store.control.resume("r", patched(n=7), within_s=0.2), "queued"),
        (waiting, lambda store: store.signals.send("r", "ok", "1", key_of("k"), within_s=0.2), "waiting"),
    ],
)
def test_a_call_for_a_locked_run_is_refused_at_its_deadline_and_changes_nothing(
    database: Database, prepare: Any, do: Callable[[Store], Awaitable[Any]], status: str
) -> None:
    async def scenario() -> None:
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

    asyncio.run(scenario())


def test_what_comes_about_a_locked_run_is_done_in_the_order_in_which_it_came(database: Database) -> None:
    async def scenario() -> None:
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

    asyncio.run(scenario())


@pytest.mark.parametrize("share", [1, 2, 3], ids=["all", "every second", "every third"])
def test_many_runs_of_one_batch_are_locked_and_the_others_go_on(database: Database, share: int) -> None:
    async def scenario() -> None:
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

    asyncio.run(scenario())


def test_starts_of_a_locked_graph_wait_and_those_of_others_do_not(database: Database) -> None:
    async def scenario() -> None:
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

    asyncio.run(scenario())


def test_a_table_that_everybody_needs_is_locked_and_all_recovers_when_the_lock_has_gone(database: Database) -> None:
    async def scenario() -> None:
        async with opened(database, Clock()) as store:
            claimed = {name: await begun(store, name, OTHER) for name in "abcdefgh"}
            async with locking(database, whole("runs")):
                waiting = [
                    asyncio.ensure_future(commit(store, each.lease, success(each.run, n=1)))
                    for each in claimed.values()
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

    asyncio.run(scenario())


def test_readers_of_a_locked_table_are_refused_and_do_not_keep_the_others_waiting(database: Database) -> None:
    async def scenario() -> None:
        async with opened(database, Clock()) as store:
            await parked(store, "r", NAP)
            async with locking(database, whole("waits")):
                blocked = [asyncio.ensure_future(store.history.why("r")) for _ in range(2 * READERS_MAX)]
                await until_one_waits(database)
                assert (await store.runs.get("r")).status == "waiting"
                refused = await asyncio.gather(*blocked, return_exceptions=True)
                assert all(isinstance(each, Unavailable) for each in refused)
            assert (await store.history.why("r")).wait is not None

    asyncio.run(scenario())


def test_no_more_than_so_many_commands_about_one_thing_wait_for_a_lock(database: Database) -> None:
    async def scenario() -> None:
        async with opened(database, Clock()) as store:
            claimed = await begun(store, "r", OTHER)
            async with locking(database, row("r")):
                written = [asyncio.wrap_future(store.logs.append(claimed.lease, said("x"))) for _ in range(SAME_MAX)]
                await until_one_waits(database)
                with pytest.raises(Unavailable, match="locked"):
                    await asyncio.wrap_future(store.logs.append(claimed.lease, said("one too many")))
            assert await asyncio.gather(*written) == [True] * SAME_MAX

    asyncio.run(scenario())


def test_a_caller_that_is_gone_leaves_nothing_to_be_done(database: Database) -> None:
    async def scenario() -> None:
        async with opened(database, Clock()) as store:
            await queue(store, "r", OTHER)
            async with locking(database, row("r")):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(store.control.cancel("r"), 0.2)
                await until_async(lambda: not store._writer._blocked_writes._here)
            assert await store.control.pause("r") == "paused"
            assert status_of(database, "r") == "paused"

    asyncio.run(scenario())


def test_closing_refuses_what_still_meets_a_lock_and_does_the_rest(database: Database) -> None:
    async def scenario() -> None:
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
        sessions = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert await until_async(lambda: ask(database, sessions) == [(0,)])

    asyncio.run(scenario())


def test_a_command_whose_connection_breaks_while_it_waits_for_a_lock_is_done_once(database: Database) -> None:
    waiting = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    async def scenario() -> None:
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

    asyncio.run(scenario())


@pytest.mark.parametrize("breaking", [committed_but_failed, committed_and_cut_off, cut_off_before])
def test_a_commit_behind_a_lock_whose_outcome_is_unknown_is_read_back(database: Database, breaking: Any) -> None:
    async def scenario() -> None:
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

    asyncio.run(scenario())


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
def test_a_command_that_fails_each_time_costs_its_neighbours_nothing(
    database: Database, text: str, error: type[Exception], *, locked: bool
) -> None:
    async def scenario() -> None:
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

    asyncio.run(scenario())


def test_a_command_that_fails_where_it_touches_what_is_suspected_is_told_why(database: Database) -> None:
    """The lane gives it to the writer to judge, who does not hand it back for the suspicion alone."""

    async def scenario() -> None:
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

    asyncio.run(scenario())


def _touch_signals(transaction: Transaction) -> None:
    transaction.cursor.execute("SELECT 1 FROM signals LIMIT 1 FOR UPDATE")
