"""DBOS: one workflow a run, one step a step, each step's output (the state) recorded before the next begins.

Durability, by its source (_sys_db_sqlite.py): only `busy_timeout` and `foreign_keys` are set, so SQLite's compiled-in
defaults hold: a rollback journal (no WAL) and synchronous FULL here; both read back from its own engine. Variant
`wal`: the file is made in WAL mode beforehand, which DBOS then keeps; its documentation does not mention that. Both
count as durable. On PostgreSQL the server's synchronous_commit decides. Outputs are pickled and in base64.
A step returns the whole state, since the tool is state → state; a step that returned `count` alone would store less,
and leave the payload to the replay of the workflow's own code.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
import time
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, SetWorkflowID

from peers import common

ASKED = common.work()
STAND = common.Stand(ASKED)
QUEUE = "loops"
STARTER = "starter"
ended: list[str] = []
"""Runs whose functions have returned in this process."""


@DBOS.step()
async def add(state: dict[str, Any]) -> dict[str, Any]:
    await STAND(state["count"])
    return {**state, "count": state["count"] + 1}


@DBOS.workflow()
async def loop(state: dict[str, Any], steps: int) -> int:
    while state["count"] < steps:
        state = await add(state)
    common.check(state, steps)
    ended.append(DBOS.workflow_id or "")
    return int(state["count"])


def url() -> str:
    if ASKED.url is None:
        return f"sqlite:///{common.file_of(ASKED)}"
    return ASKED.url.replace("postgresql://", "postgresql+psycopg://")


def launched(executor: str = "local") -> str:
    """Start DBOS in this process; what its connections say of durability."""
    if ASKED.variant == "wal" and ASKED.url is None:
        common.make_wal(ASKED)
    config: DBOSConfig = {"name": "loops", "system_database_url": url(), "log_level": "ERROR", "executor_id": executor}
    # One version for all processes: it would be a hash of this file, the same as well.
    instance = DBOS(config={**config, "application_version": "1"})
    if executor == STARTER:
        DBOS.listen_queues([])  # It only enqueues.
    DBOS.launch()
    with instance._sys_db.engine.connect() as connection:
        if ASKED.url:
            return f"PostgreSQL synchronous_commit={connection.exec_driver_sql('SHOW synchronous_commit').scalar()}"
        answers = [connection.exec_driver_sql(f"PRAGMA {of}").scalar() for of in ("journal_mode", "synchronous")]
        return common.said(*answers)


async def run_here() -> float:
    """All runs at once in this process, as background workflows."""
    handles = []
    begun = time.perf_counter()
    for run_id in ASKED.run_ids:
        with SetWorkflowID(run_id):
            handles.append(await DBOS.start_workflow_async(loop, ASKED.state, ASKED.steps))
    for result in await asyncio.gather(*(handle.get_result() for handle in handles)):
        if result != ASKED.steps:
            raise SystemExit(f"a run ended with {result}")
    return time.perf_counter() - begun


async def stand() -> None:
    for run_id in ASKED.run_ids:
        with SetWorkflowID(run_id):
            await DBOS.start_workflow_async(loop, ASKED.state, ASKED.steps)
    await asyncio.Event().wait()


def resume() -> None:
    """`launch` itself recovers what its executor left; the clock starts when it has returned."""
    durability = launched()
    begun = time.time()
    while len(ended) < ASKED.runs:
        time.sleep(common.POLL_S / 2)
    common.report(ASKED, last_end(ASKED.runs) - begun, durability)
    DBOS.destroy()


def last_end(runs: int) -> float:
    """When the last of all runs was recorded as ended; asked only once their functions have returned."""
    engine = sa.create_engine(url())
    table = "dbos.workflow_status" if ASKED.url else "workflow_status"
    query = sa.text(f"SELECT count(*), max(updated_at) FROM {table} WHERE status = 'SUCCESS'")
    while True:
        with engine.connect() as connection:
            count, at = connection.execute(query).one()
        if count == runs:
            return float(at) / 1000
        time.sleep(common.POLL_S)


def share_out() -> None:
    """Enqueue all runs, then let so many executors take them from the queue."""
    durability = launched(STARTER)
    DBOS.register_queue(QUEUE, worker_concurrency=math.ceil(ASKED.runs / ASKED.servers), polling_interval_sec=0.1)

    async def enqueue() -> None:
        for run_id in ASKED.run_ids:
            with SetWorkflowID(run_id):
                await DBOS.enqueue_workflow_async(QUEUE, loop, ASKED.state, ASKED.steps)

    asyncio.run(enqueue())
    engine = sa.create_engine(url())

    def is_done() -> bool:
        with engine.connect() as connection:
            query = "SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS'"
            return bool(connection.exec_driver_sql(query).scalar() == ASKED.runs)

    common.serving([common.again(ASKED, f"server:{n}") for n in range(ASKED.servers)], is_done)
    with engine.connect() as connection:
        query = "SELECT max(updated_at) - min(started_at_epoch_ms) FROM dbos.workflow_status"
        seconds = float(connection.exec_driver_sql(query).scalar()) / 1000
    common.report(ASKED, seconds, durability)
    DBOS.destroy()


def serve() -> None:
    launched(ASKED.role)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while True:
        signal.pause()


def main() -> None:
    if ASKED.workload == "S4" and not ASKED.role:
        common.killed_and_resumed(ASKED)
    elif ASKED.role == "resume":
        resume()
    elif ASKED.role.startswith("server"):
        serve()
    elif ASKED.servers:
        share_out()
    else:
        durability = launched()
        if ASKED.role == "stand":
            asyncio.run(stand())
        seconds = asyncio.run(run_here())
        DBOS.destroy()
        common.report(ASKED, seconds, durability)


if __name__ == "__main__":
    sys.exit(main())
