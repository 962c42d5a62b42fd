"""Law 16 on PostgreSQL, with engines: somebody locks a run for longer than its lease, and that run alone waits."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.engine.harness import Bench, running
from tests.support.postgres import Databases
from tests.support.store.harness import until_async

LEASE_S = 1.5
OTHERS = [f"other {number}" for number in range(8)]
STEPS_MIN = 10
"""Steps that each of the others makes at least, while one is locked."""
GRAPH: dict[str, Any] = {
    "start_node": "a",
    "nodes": {"a": "count"},
    "edges": {"a": {"to": "a", "condition": {"key": "is_over", "op": "==", "value": False}}},
}


@pytest.fixture
def url(postgres: Databases) -> Iterator[str]:
    url = postgres.migrated()
    yield url
    postgres.drop(url)


class Counting:
    """A tool that says of each run how often it was called, and lets all end at once."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.is_over = False

    async def count(self, state: dict[str, Any], context: Any) -> None:
        self.calls[context.run_id] += 1
        context.log("counted")
        await asyncio.sleep(0.01)  # Nine runs would take a whole core otherwise, while a term ends.
        state["is_over"] = self.is_over


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield connection


async def one(session: psycopg.AsyncConnection[Any], query: str, *parameters: Any) -> Any:
    return await (await session.execute(query.encode(), parameters)).fetchone()


async def lock(session: psycopg.AsyncConnection[Any]) -> int:
    """Lock the run, as `psql` would; its step then."""
    await session.execute("BEGIN")
    (step,) = await one(session, "UPDATE runs SET tags = tags WHERE id = 'locked' RETURNING step")
    return int(step)


async def until_terms_are_over(session: psycopg.AsyncConnection[Any]) -> None:
    """Until the lease on the locked run has run out for long, and those on all others were renewed since."""
    (locked_at,) = await one(session, "SELECT clock_timestamp()")
    query = (
        "SELECT max(due_at) FILTER (WHERE id = 'locked') < now() - %s * interval '1 s'"
        " AND min(due_at) FILTER (WHERE id <> 'locked') > %s + 3 * %s * interval '1 s' FROM runs"
    )
    async with asyncio.timeout(30):
        while (await one(session, query, LEASE_S, locked_at, LEASE_S)) != (True,):  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.05)


async def start_all(made: Bench, tool: Counting) -> None:
    for name in ("locked", *OTHERS):
        await made.start(name, GRAPH)
    await until_async(lambda: all(tool.calls[name] for name in ("locked", *OTHERS)))


async def others_go_on(tool: Counting) -> None:
    before = tool.calls.copy()
    await until_async(lambda: all(tool.calls[name] >= before[name] + STEPS_MIN for name in OTHERS), 30)


async def test_a_run_that_is_locked_for_longer_than_its_lease_waits_alone_and_goes_on_by_itself(
    url: str, tmp_path: Path
) -> None:
    tool = Counting()

    async with running(tmp_path, tool.count, url=url, lease_s=LEASE_S) as made, asking(url) as somebody:
        await start_all(made, tool)
        step = await lock(somebody)
        async with asking(url) as session:
            await others_go_on(tool)
            await until_terms_are_over(session)
            await others_go_on(tool)
            # Starts, cancels and everything else of other runs are answered meanwhile.
            await made.start("new", GRAPH)
            await until_async(lambda: tool.calls["new"] >= STEPS_MIN, 30)
            await made.store.control.cancel("new", within_s=5)
            # It was in a step, or came to the end of one; that is called once.
            assert await one(session, "SELECT step FROM runs WHERE id = 'locked'") == (step,)
            assert tool.calls["locked"] <= step + 1
            await somebody.execute("ROLLBACK")
            await until_async(lambda: tool.calls["locked"] > step + 1)
            tool.is_over = True
            for name in ("locked", *OTHERS):
                run = await made.over(name)
                assert (run.status, run.step) == ("completed", tool.calls[name])
            # Nobody has taken it for lost.
            assert await one(session, "SELECT count(*), max(lease_token) FROM attempts, runs") == (0, None)
            assert await one(session, "SELECT max(lease_token) FROM runs WHERE id <> 'new'") == (1,)


async def test_all_runs_but_one_are_locked_and_go_on_when_the_lock_has_gone(url: str, tmp_path: Path) -> None:
    tool = Counting()

    async with running(tmp_path, tool.count, url=url, lease_s=LEASE_S) as made, asking(url) as somebody:
        await start_all(made, tool)
        await somebody.execute("BEGIN")
        await somebody.execute("UPDATE runs SET tags = tags WHERE id <> 'locked'")
        before = tool.calls.copy()
        await until_async(lambda: tool.calls["locked"] >= before["locked"] + STEPS_MIN, 30)
        await somebody.execute("ROLLBACK")
        await others_go_on(tool)
        tool.is_over = True
        for name in ("locked", *OTHERS):
            run = await made.over(name)
            assert (run.status, run.step) == ("completed", tool.calls[name])


async def test_a_server_stops_though_somebody_has_locked_a_run(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = Counting()
    monkeypatch.setattr("service.engine.engine.GRACE_S", 0.5)

    async with asking(url) as somebody:
        async with running(tmp_path, tool.count, url=url, lease_s=LEASE_S) as made:
            await start_all(made, tool)
            await lock(somebody)
            await others_go_on(tool)
        await somebody.execute("ROLLBACK")
        async with asking(url) as session:
            query = "SELECT id, status FROM runs WHERE status <> 'queued'"
            assert await (await session.execute(query)).fetchall() == [("locked", "running")]


async def test_servers_share_the_runs_though_somebody_has_locked_one(url: str, tmp_path: Path) -> None:
    """Its term is over when the lock has gone, and yet the server that carries it goes on with it."""
    tool = Counting()

    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(
                running(tmp_path, tool.count, url=url, lease_s=LEASE_S, server_id=server_id)
            )
            for server_id in ("one", "two")
        ]
        somebody, session = [await stack.enter_async_context(asking(url)) for _ in range(2)]
        await start_all(servers[0], tool)
        step = await lock(somebody)
        await until_terms_are_over(session)
        await others_go_on(tool)
        assert await one(session, "SELECT step FROM runs WHERE id = 'locked'") == (step,)
        await somebody.execute("ROLLBACK")
        await until_async(lambda: tool.calls["locked"] > step + 2)
        tool.is_over = True
        for name in ("locked", *OTHERS):
            run = await servers[1].over(name)
            assert run.status == "completed"
            assert [line.seq for line in await servers[1].lines(name)] == list(range(1, run.last_seq + 1))
        query = "SELECT count(*), count(DISTINCT (run_id, step)), sum(step) FROM snapshots WHERE run_id = 'locked'"
        count, distinct, total = await one(session, query)
        assert count == distinct == (await servers[0].store.runs.get("locked")).step == tool.calls["locked"]
        assert total == count * (count + 1) // 2
        # Its server was there all the time, and the step that waited was committed.
        assert await one(session, "SELECT lease_token FROM runs WHERE id = 'locked'") == (1,)
