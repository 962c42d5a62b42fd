"""Who may write a run, and until when: claims, takeovers, renewals, releases, and what counts as a crash."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from service.core.after import after
from service.core.moves import CallTool, ProcessDied
from service.core.next_move import CRASHES_MAX, next_move
from service.core.run import Run
from service.core.transitions import Status
from service.store import Store
from service.store.commands.servers import Servers
from service.store.database.protocol import Database
from service.store.rows.first_states import FirstStates
from service.store.rows.records import Claimed, Lease
from service.store.subjects import Leases
from tests.support.store.harness import (
    BYTES_MAX,
    COUNTER,
    LEASE_S,
    Clock,
    ask,
    claim_one,
    commit,
    dump,
    failure,
    opened,
    start,
    start_of,
    started,
    success,
    walk,
)


def leases_of(store: Store, server_id: str) -> Leases:
    """Another server's view of the same database."""
    servers = Servers(store._writer, server_id, f"{server_id}:8000", LEASE_S)
    return Leases(store._writer, servers, FirstStates(), server_id, LEASE_S)


async def renew(leases: Leases, *held: Lease) -> list[Lease]:
    return await asyncio.wrap_future(leases.renew(held))


def attempts(database: Database) -> list[tuple[int, int, str]]:
    rows = ask(database, "SELECT step, attempt, error FROM attempts ORDER BY step, attempt")
    return [(step, attempt, json.loads(error)["type"]) for step, attempt, error in rows]


def isolated(run: Run) -> bool:
    move = next_move(run)
    return isinstance(move, CallTool) and move.isolate


async def taken_over(store: Store, clock: Clock, *, beginning: bool = True) -> Claimed:
    """The run, after its server has died and another one has taken it over."""
    clock.advance(LEASE_S)
    claimed = await claim_one(store)
    if beginning:
        assert await store.leases.begin(claimed.lease)
    return claimed


async def test_a_run_is_claimed_once(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        for name in "abc":
            await start(store, name)
            clock.advance(1)
        others = leases_of(store, "two")
        claims = await asyncio.gather(*(leases.claim(2) for leases in (store.leases, others) * 3))
        taken = [claimed.lease.run_id for claim in claims for claimed in claim]
        assert taken == ["a", "b", "c"]  # The longest due first.
        assert await store.leases.claim(10) == []
        assert ask(database, "SELECT id, lease_owner, lease_token FROM runs ORDER BY id") == [
            ("a", "one", 1),
            ("b", "one", 1),
            ("c", "two", 1),
        ]


async def test_large_states_are_claimed_in_several_transactions(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        await store.graphs.add(COUNTER)
        large = {"text": "x" * 2**20, "n": 0}
        for number in range(12):
            await store.runs.start(start_of(f"{number:02}", state={**large, "number": number}))
        writes: list[Any] = []
        write = store._writer.write_with_others

        async def counting(command: Any, item: Any, **options: Any) -> Any:
            writes.append(command)
            return await write(command, item, **options)

        store._writer.write_with_others = counting  # type: ignore[method-assign]  # it is counted, and done
        claimed = await store.leases.claim(10)
        assert 1 < len(writes) < 10
        assert [(each.run.id, each.run.state.to_object()) for each in claimed] == [
            (f"{number:02}", {**large, "number": number}) for number in range(10)
        ]
        assert [each.lease.run_id for each in await store.leases.claim(10)] == ["10", "11"]


async def test_a_claim_carries_the_run_as_it_is(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        first = await started(store)
        assert (first.run.step, first.run.node, first.run.attempt, first.run.crashes) == (0, "a", 1, 0)
        run = await walk(store, first, [{"n": 1, "x": "y"}, {"x": "y", "n": 2, "z": None}])
        await store.leases.release(first.lease, interrupted=False)
        second = await claim_one(store)
        assert second.run == run
        assert second.lease.token == first.lease.token + 1


async def test_a_lease_holds_until_its_time_is_up_and_renewal_puts_that_off(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        held = (await started(store)).lease
        clock.advance(LEASE_S - 0.001)
        assert await store.leases.claim(10) == []
        assert await renew(store.leases, held) == []
        clock.advance(LEASE_S - 0.001)
        assert await store.leases.claim(10) == []
        clock.advance(0.001)
        assert (await claim_one(store)).lease == Lease("r", held.token + 1)


async def test_a_renewal_gives_back_the_leases_that_no_longer_hold(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        held = {}
        for name in ("kept", "ended", "released", "lost"):
            await start(store, name)
            held[name] = await claim_one(store)
        await commit(store, held["ended"].lease, success(held["ended"].run, n=1000))
        await store.leases.release(held["released"].lease, interrupted=False)
        clock.advance(LEASE_S - 1)
        await renew(store.leases, held["kept"].lease)
        clock.advance(2)
        assert len(await leases_of(store, "two").claim(10)) == 2
        lost = await renew(store.leases, *(claimed.lease for claimed in held.values()))
        assert [lease.run_id for lease in lost] == ["ended", "released", "lost"]


async def test_a_claim_renews_what_its_server_carries_instead_of_taking_it_over(
    database: Database, clock: Clock
) -> None:
    async with opened(database, clock) as store:
        carried = await started(store)
        await start(store, "new")
        clock.advance(LEASE_S + 1)
        claimed = await store.leases.claim(1, {"r"})
        assert [claim.lease.run_id for claim in claimed] == ["new"]
        await commit(store, carried.lease, success(carried.run, n=1))
        assert await renew(store.leases, carried.lease) == []


async def test_a_claim_neither_takes_nor_renews_what_its_server_has_put_down_or_lost(
    database: Database, clock: Clock
) -> None:
    async with opened(database, clock) as store:
        await started(store, "lost")
        put_down = await started(store, "put down")
        await store.leases.release(put_down.lease, interrupted=False)
        assert await store.leases.claim(10, {"put down", "lost"}) == []
        others = leases_of(store, "two")
        clock.advance(LEASE_S)
        assert {claim.lease.run_id for claim in await others.claim(10)} == {"put down", "lost"}
        clock.advance(LEASE_S)
        before = dump(database)
        assert await store.leases.claim(10, {"put down", "lost"}) == []
        assert dump(database) == before


async def test_a_released_run_goes_on_at_once_and_is_no_suspect(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        for _ in range(CRASHES_MAX + 1):
            claimed = await started(store)
            await store.leases.release(claimed.lease, interrupted=False)
        claimed = await claim_one(store)
        assert (claimed.run.attempt, claimed.run.crashes) == (1, 0)
        assert attempts(database) == []
        await store.leases.release(claimed.lease, interrupted=True)
        claimed = await claim_one(store)
        assert (claimed.run.attempt, claimed.run.crashes) == (2, 0)
        assert attempts(database) == [(1, 1, "interrupted")]


async def test_a_takeover_notes_the_lost_attempt_and_counts_a_crash(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        await walk(store, await started(store), [{"n": 1}])
        claimed = await taken_over(store, clock)
        assert (claimed.run.step, claimed.run.attempt, claimed.run.crashes) == (1, 2, 1)
        assert attempts(database) == [(2, 1, "server_lost")]
        run = await walk(store, claimed, [{"n": 2}])
        assert (run.attempt, run.crashes) == (1, 0)
        [_, step] = (await store.history.page("r", 0, 10)).items
        assert [(tried.attempt, tried.error is None) for tried in step.attempts] == [(1, False), (2, True)]
        assert step.attempt == 2
        assert (await taken_over(store, clock)).run.crashes == 1


async def test_a_run_that_only_waited_for_its_turn_is_not_suspected_again(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        await started(store)
        for _ in range(CRASHES_MAX):
            claimed = await taken_over(store, clock, beginning=False)
            assert (claimed.run.attempt, claimed.run.crashes) == (2, 1)
        assert attempts(database) == [(1, 1, "server_lost")]
        assert await store.leases.begin(claimed.lease)
        assert (await taken_over(store, clock)).run.crashes == 2


async def test_after_five_takeovers_in_a_row_a_run_is_tried_in_isolation_only(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        claimed = await started(store)
        for crashes in range(1, CRASHES_MAX + 1):
            assert not isolated(claimed.run)
            claimed = await taken_over(store, clock)
            assert claimed.run.crashes == crashes
        assert isolated(claimed.run)
        assert attempts(database) == [(1, number, "server_lost") for number in range(1, CRASHES_MAX + 1)]
        move = next_move(claimed.run)
        assert move is not None
        await commit(store, claimed.lease, after(claimed.run, move, ProcessDied("killed by SIGSEGV"), BYTES_MAX))
        run = await store.runs.get("r")
        assert run.status == Status.FAILED
        assert json.loads(run.error or "")["type"] == "crash_loop"
        assert attempts(database)[-1] == (1, CRASHES_MAX + 1, "crash_loop")


async def test_a_starting_owner_takes_over_all_leases_at_once(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        running = await started(store, "running")
        await start(store, "queued")
        two = leases_of(store, "two")
        await two.seize()
        claimed = await two.claim(10)
        assert {claim.lease for claim in claimed} == {Lease("running", 2), Lease("queued", 1)}
        assert await renew(store.leases, running.lease) == [running.lease]
        assert ask(database, "SELECT id, address FROM servers ORDER BY id") == [
            ("one", "one:8000"),
            ("two", "two:8000"),
        ]


async def test_the_opening_lines_tell_how_a_run_came_to_its_server(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        claimed = await started(store)
        await store.leases.release(claimed.lease, interrupted=False)
        await claim_one(store)
        await taken_over(store, clock)
        lines, last_seq, over = await store.logs.page("r", 0, 10)
        shown: list[Any] = [(line.seq, line.event, line.level, line.step) for line in lines]
        assert shown == [
            (1, "run_started", "info", None),
            (2, "run_resumed", "info", 1),
            (3, "run_resumed", "warning", 1),
        ]
        assert (last_seq, over) == (3, False)


async def test_nothing_is_claimed_of_runs_that_rest(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        ended = await started(store, "ended")
        await commit(store, ended.lease, success(ended.run, n=1000))
        failed = await started(store, "failed")
        await commit(store, failed.lease, failure(failed.run))
        paused = await started(store, "paused")
        limited = paused.run.graph.model_copy(update={"max_steps": 1})
        await commit(store, paused.lease, success(paused.run._replace(graph=limited), n=1))
        clock.advance(10 * LEASE_S)
        await store.leases.seize()
        assert await store.leases.claim(10) == []
        statuses = ask(database, "SELECT id, status, lease_owner, due_at FROM runs ORDER BY id")
        assert statuses == [
            (name, name.replace("ended", "completed"), None, None) for name in ("ended", "failed", "paused")
        ]
