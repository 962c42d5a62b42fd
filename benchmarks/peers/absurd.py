"""Absurd: a task a run, `ctx.step` a step, its state in a checkpoint row; PostgreSQL alone.

Durability, by its source (absurd_sdk, `_ensure_connected`, `_persist_checkpoint`): the worker's connection autocommits,
so each checkpoint is one statement and one commit, and the server's synchronous_commit decides (read back). The SQL
is that of `absurdctl` 0.5.1 (`BUNDLED_SCHEMA_SQL`), which comes from the package index: nothing is fetched elsewhere.
A worker has one connection, on which the steps of all its tasks take turns.
"""

from __future__ import annotations

import asyncio
import json
import math
import signal
import time
from typing import Any

import psycopg
from absurd_sdk import AsyncAbsurd, AsyncTaskContext
from absurdctl import BUNDLED_SCHEMA_SQL

from peers import common


async def add(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "count": state["count"] + 1}


def application(asked: common.Work) -> AsyncAbsurd:
    app = AsyncAbsurd(asked.url, queue_name="loops")

    @app.register_task(name="loop")
    async def loop(state: dict[str, Any], context: AsyncTaskContext) -> dict[str, Any]:
        while state["count"] < asked.steps:
            state = await context.step("add", lambda state=state: add(state))
        return state

    return app


def is_done(connection: psycopg.Connection[Any], asked: common.Work) -> bool:
    query = "SELECT count(*) FROM absurd.t_loops WHERE state = 'completed'"
    return bool(connection.execute(query).fetchall()[0][0] == asked.runs)


def seconds_of(connection: psycopg.Connection[Any]) -> float:
    """From the first claim to the last commit, by the tables."""
    query = "SELECT extract(epoch FROM max(completed_at) - min(started_at))::float FROM absurd.r_loops"
    return float(connection.execute(query).fetchall()[0][0])


async def spawn(asked: common.Work) -> None:
    app = application(asked)
    await app.create_queue()
    for run_id in asked.run_ids:
        await app.spawn("loop", asked.state, idempotency_key=run_id)
    await app.close()


async def work(asked: common.Work) -> None:
    """One worker until SIGTERM, with room for its share of the runs at once."""
    app = application(asked)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, app.stop_worker)
    room = math.ceil(asked.runs / max(asked.servers, 1))
    await app.start_worker(concurrency=room, claim_timeout=600, poll_interval=0.05)
    await app.close()


async def run_here(asked: common.Work, connection: psycopg.Connection[Any]) -> None:
    worker = asyncio.create_task(work(asked))
    while not await asyncio.to_thread(is_done, connection, asked):
        if worker.done():
            raise SystemExit("the worker has ended")
        await asyncio.sleep(common.POLL_S)
    signal.raise_signal(signal.SIGTERM)
    await worker


def main() -> None:
    asked = common.work()
    assert asked.url is not None, "Absurd needs PostgreSQL"
    if asked.role:
        asyncio.run(work(asked))
        return
    with psycopg.connect(asked.url, autocommit=True) as connection:
        connection.execute(BUNDLED_SCHEMA_SQL)
        level = connection.execute("SHOW synchronous_commit").fetchall()[0][0]
        begun = time.perf_counter()
        asyncio.run(spawn(asked))
        spawning = time.perf_counter() - begun
        if asked.servers:
            commands = [common.again(asked, f"server:{number}") for number in range(asked.servers)]
            common.serving(commands, lambda: is_done(connection, asked))
        else:
            asyncio.run(run_here(asked, connection))
        for (state,) in connection.execute("SELECT completed_payload FROM absurd.t_loops").fetchall():
            common.check(json.loads(state) if isinstance(state, str) else state, asked.steps)
        durability = f"PostgreSQL synchronous_commit={level}, autocommit"
        common.report(asked, seconds_of(connection), durability, spawning_seconds=spawning)


if __name__ == "__main__":
    main()
