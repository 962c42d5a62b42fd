"""Lines have no holes: every seq once, whoever writes, and a tail sees each line once whenever it starts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest

from service.core.errors import NotFound, Unavailable
from service.core.run import Event, Level, Line, Run
from service.store import Store
from service.store.database.clock import from_database
from service.store.database.protocol import Database
from service.store.queries.log_lines import LogQueries
from service.store.queries.pages import PAGE_BYTES_MAX
from service.store.queries.tail import TOGETHER_LINES_MAX
from service.store.rows.records import Claimed, LineRecord
from tests.support.store.harness import Clock, ask, commit, failure, opened, said, started, success, until_async


def never_gone(_wake: Callable[[], None]) -> bool:
    return False


async def seen(store: Store, run_id: str, after_seq: int = 0) -> list[int]:
    """The seqs that a tail gives until it ends."""
    async with aclosing(store.tails.lines(run_id, after_seq, gone=never_gone)) as pages:
        return [line.seq async for lines in pages for line in lines]


async def carried(store: Store, claimed: Claimed, steps: int, chance: random.Random) -> Run:
    """Carry a run to its end while lines are appended from all sides."""
    run = claimed.run
    for number in range(1, steps + 1):
        appended = [store.logs.append(claimed.lease, said(*["x"] * chance.randint(0, 4))) for _ in range(3)]
        rest = said(*["rest"] * chance.randint(0, 3))
        run = await commit(store, claimed.lease, success(run, n=number if number < steps else 1000), rest)
        for future in appended:
            assert await asyncio.wrap_future(future)
    return run


async def test_seq_has_no_holes_while_runs_commit_and_append_at_once(database: Database) -> None:
    async with opened(database) as store:
        claims = [await started(store, f"r{number}") for number in range(8)]
        tails = [asyncio.ensure_future(seen(store, claim.lease.run_id)) for claim in claims]
        await asyncio.gather(*(carried(store, claim, 8, random.Random(n)) for n, claim in enumerate(claims)))
        for claim, follower in zip(claims, tails, strict=True):
            record = await store.runs.get(claim.lease.run_id)
            everything = list(range(1, record.last_seq + 1))
            stored = ask(database, "SELECT seq FROM log_lines WHERE run_id = ? ORDER BY seq", record.run_id)
            assert [seq for (seq,) in stored] == everything
            assert await asyncio.wait_for(follower, 60) == everything
            lines, _, over = await store.logs.page(record.run_id, record.last_seq - 1, 10)
            assert (lines[0].event, over) == ("run_completed", True)


async def test_a_tail_that_starts_anywhere_at_any_time_sees_the_rest_once(database: Database) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        carrying = asyncio.ensure_future(carried(store, claimed, 25, random.Random(1)))
        tails = {}
        for after_seq in range(0, 120, 11):
            tails[after_seq] = asyncio.ensure_future(seen(store, "r", after_seq))
            await asyncio.sleep(0)
        await carrying
        last_seq = (await store.runs.get("r")).last_seq
        for after_seq, follower in tails.items():
            assert await asyncio.wait_for(follower, 60) == list(range(after_seq + 1, last_seq + 1))
        assert await seen(store, "r", last_seq) == []
        assert await seen(store, "r", 2**63 - 1) == []


async def test_a_tail_that_is_cut_and_comes_back_has_seen_each_line_once(database: Database) -> None:
    async def cut(store: Store) -> list[int]:
        got: list[int] = []
        while True:
            after_seq = got[-1] if got else 0
            async with aclosing(store.tails.lines("r", after_seq, gone=never_gone)) as pages:
                async for lines in pages:
                    got += [line.seq for line in lines]
                    break
                else:
                    return got

    async with opened(database) as store:
        claimed = await started(store)
        _, got = await asyncio.gather(carried(store, claimed, 30, random.Random(2)), cut(store))
        assert got == list(range(1, (await store.runs.get("r")).last_seq + 1))
        assert not store.events._subscribers


async def test_tails_that_read_together_hurt_each_other_neither_by_leaving_nor_by_a_read_that_fails(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        await started(store, "other")
        staying, leaving, *_ = tails = [asyncio.ensure_future(seen(store, "r", after)) for after in (0, 0, 1, 1)]
        quiet = asyncio.ensure_future(seen(store, "other"))
        await asyncio.sleep(0.1)  # Until all have seen what there is.
        run = await commit(store, claimed.lease, success(claimed.run, n=1))
        leaving.cancel()
        run = await commit(store, claimed.lease, success(run, n=1000), said(*["x"] * 50))
        assert await asyncio.wait_for(staying, 60) == list(range(1, 55))
        assert [await asyncio.wait_for(tail, 60) for tail in tails[2:]] == [list(range(2, 55))] * 2

        async def refuse(_places: Any) -> Any:
            raise Unavailable("refused")

        monkeypatch.setattr(store.tails._together, "_find", refuse)
        store.events.notify(["other"])
        with pytest.raises(Unavailable):
            await asyncio.wait_for(quiet, 60)
        assert not store.events._subscribers


async def test_a_tail_reads_long_logs_page_by_page(database: Database) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        await asyncio.wrap_future(store.logs.append(claimed.lease, said(*["x"] * 1200)))
        await commit(store, claimed.lease, success(claimed.run, n=1000))
        assert await seen(store, "r") == list(range(1, 1204))


async def test_a_tail_holds_few_bytes_of_large_lines(database: Database) -> None:
    """Hundreds of readers that do not read hold a page each."""
    async with opened(database) as store:
        claimed = await started(store)
        lines = [Line(Event.LOG, "m", data='{"x":"' + "y" * size + '"}') for size in [100, 20_000, 64_000, 10] * 15]
        assert await asyncio.wrap_future(store.logs.append(claimed.lease, lines))
        await commit(store, claimed.lease, success(claimed.run, n=1000))
        pages = [page async for page in store.tails.lines("r", 0, gone=lambda _: False)]
        assert [line.seq for page in pages for line in page] == list(range(1, 64))
        assert max(sum(len(line.data) for line in page) for page in pages if len(page) > 1) <= 2**16


async def test_a_tail_finds_lines_without_any_hint(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.store.queries.tail.POLL_S", 0.01)

    async with opened(database) as store:
        monkeypatch.setattr(store.events, "notify", lambda _topics: None)
        claimed = await started(store)
        follower = asyncio.ensure_future(seen(store, "r"))
        await carried(store, claimed, 3, random.Random(3))
        assert (await asyncio.wait_for(follower, 60))[-1] == (await store.runs.get("r")).last_seq


async def test_a_tail_ends_when_its_reader_is_gone_and_says_when_nothing_is_new(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.queries.tail.POLL_S", 0.01)

    async with opened(database) as store:
        await started(store)
        left = False

        def gone(_wake: Callable[[], None]) -> bool:
            return left

        pages: AsyncIterator[list[LineRecord]] = store.tails.lines("r", 0, gone=gone)
        assert [line.seq for line in await anext(pages)] == [1]
        assert await anext(pages) == []
        left = True
        assert await anext(pages, None) is None


async def test_the_function_that_a_tail_hands_out_ends_its_wait_at_once(database: Database) -> None:
    async with opened(database) as store:
        await started(store)
        wakes: list[Callable[[], None]] = []
        is_gone = False

        def gone(wake: Callable[[], None]) -> bool:
            wakes.append(wake)
            return is_gone

        async def follow() -> None:
            async for _ in store.tails.lines("r", 1, gone=gone):
                raise AssertionError("nothing is new")

        follower = asyncio.ensure_future(follow())
        async with asyncio.timeout(0.9):  # Less than the poll.
            await until_async(lambda: len(wakes) > 1)  # It has read what there is.
            await asyncio.sleep(0)
            is_gone = True
            wakes[-1]()
            await follower


async def test_a_tail_with_as_many_lines_as_a_read_may_find_waits_for_more(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = []

    async def page(self: Any, *given: Any) -> Any:
        pages.append(given)
        return await original(self, *given)

    original = LogQueries.page
    monkeypatch.setattr(LogQueries, "page", page)
    async with opened(database) as store:
        claimed = await started(store)
        tail = store.tails.lines("r", 0, gone=lambda _: False)
        assert [line.seq for line in await anext(tail)] == [1]
        await asyncio.wrap_future(store.logs.append(claimed.lease, said(*["x"] * TOGETHER_LINES_MAX)))
        assert len(await anext(tail)) == TOGETHER_LINES_MAX
        assert await anext(tail) == []  # After the poll, without a page of its own.
        assert len(pages) == 1
        await tail.aclose()


@pytest.mark.parametrize("read", [lambda s: s.logs.page("nope", 0, 1), lambda s: seen(s, "nope")])
async def test_the_lines_of_an_unknown_run_are_not_found(
    database: Database, read: Callable[[Store], Awaitable[Any]]
) -> None:
    async with opened(database) as store:
        with pytest.raises(NotFound):
            await read(store)
        assert not store.events._subscribers


async def test_a_line_keeps_what_it_says_and_when_it_was_said(database: Database) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        at = asyncio.get_running_loop().time() - 5.0  # The monotonic clock, five seconds ago.
        line = Line(Event.LOG, "Ünï\n'😀", Level.WARNING, "a", 1, 1, '{"k":[1.0]}', at)
        await asyncio.wrap_future(store.logs.append(claimed.lease, [line, Line(Event.LOG, "now")]))
        (early, late), last_seq, over = await store.logs.page("r", 1, 10)
        assert (early.message, early.level, early.event, early.data) == (
            "Ünï\n'😀",
            "warning",
            "log",
            '{"k":[1.0]}',
        )
        assert (early.node, early.step, early.attempt) == ("a", 1, 1)
        assert (late.node, late.step, late.attempt, late.data) == (None, None, None, "{}")
        assert timedelta(seconds=4) < from_database(late.ts) - from_database(early.ts) < timedelta(seconds=60)
        assert (last_seq, over) == (3, False)
        assert [line.seq for line in (await store.logs.page("r", 1, 1))[0]] == [2]


async def test_a_line_from_the_future_is_dated_at_its_commit(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        claimed = await started(store)
        await asyncio.wrap_future(store.logs.append(claimed.lease, [Line(Event.LOG, "x", at=1e12)]))
        [line], _, _ = await store.logs.page("r", 1, 10)
        assert line.ts == "2030-01-01T00:00:00.000Z"


async def test_no_line_is_added_once_a_run_is_over(database: Database) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        await commit(store, claimed.lease, failure(claimed.run))
        assert await asyncio.wrap_future(store.logs.append(claimed.lease, said("late"))) is False
        lines, last_seq, over = await store.logs.page("r", 0, 100)
        assert (lines[-1].seq, lines[-1].event, last_seq, over) == (3, "run_failed", 3, True)


async def test_a_page_of_lines_ends_early_when_they_are_large(database: Database) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        large, small = '{"x":"' + "y" * 64_000 + '"}', "{}"
        for data, count in ((large, 150), (small, 200), (large, 150)):
            lines = [Line(Event.LOG, "m", data=data) for _ in range(count)]
            assert await asyncio.wrap_future(store.logs.append(claimed.lease, lines))
        sizes, after_seq, last_seq = [], 0, 1
        while after_seq < last_seq:
            page, last_seq, _ = await store.logs.page("r", after_seq, 1000)
            assert [line.seq for line in page] == list(range(after_seq + 1, after_seq + len(page) + 1))
            assert sum(len(line.data) for line in page) <= PAGE_BYTES_MAX
            _, _, of_run = await store.runs.whole("r", after_seq, 1000)
            assert of_run == page
            sizes.append(len(page))
            after_seq = page[-1].seq
        # The first line is the run's own; pages that are not measured are of a decent size as they are.
        assert sizes == [66, 65, 20 + 200 + 45, 65, 40]
        assert len((await store.logs.page("r", 0, 30))[0]) == 30


async def test_a_line_that_is_larger_than_a_page_is_one(database: Database) -> None:
    async with opened(database) as store:
        claimed = await started(store)
        huge = Line(Event.LOG, "m", data='{"x":"' + "y" * PAGE_BYTES_MAX + '"}')
        assert await asyncio.wrap_future(store.logs.append(claimed.lease, [huge, *said(*"x" * 100)]))
        pages = [len((await store.logs.page("r", after_seq, 1000))[0]) for after_seq in (0, 1, 2)]
        assert pages == [1, 1, 100]
