"""Rungraph: the service of this checkout, its engine in this process or, where there are several, as `rungraph engine`.

The variant `pure` declares the tool of S1 and S2 as pure: a step does not wait for the commit of the one before it.
Durability: the writer's own pragmas (service/store/database/sqlite/connections.py), WAL and synchronous FULL, read
back here; on PostgreSQL its store refuses a server with synchronous_commit off. Times are those of the
runs' own rows, from the first run's acknowledgement to the last one's end.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from peers import common, http
from service.core.state import State
from service.core.tool import Tool
from service.core.transitions import Status
from service.core.validation import read_graph
from service.engine.engine import Engine, EngineSettings
from service.process import tune_collector
from service.store import Store
from service.store.commands.start import Start
from service.store.database.opening import database_at
from service.store.database.protocol import Database
from service.store.queries.runs.filter import RunFilter
from service.store.rows.records import RunRecord
from service.store.schema.migrate import migrate

STATE_BYTES_MAX = 16 * 2**20
TOOLS = """
from service import tool


@tool(pure={pure})
async def add(state):
    state["count"] += 1


@tool
async def noop(state):
    pass
"""


def tools(asked: common.Work) -> dict[str, Tool]:
    stand = common.Stand(asked)

    async def add(state: dict[str, Any]) -> None:
        await stand(state["count"])
        state["count"] += 1

    return {"add": Tool.of(add, pure=asked.variant == "pure")}


def loop(steps: int) -> dict[str, Any]:
    again = {"to": "add", "condition": {"key": "count", "op": "<", "value": steps}}
    return {"start_node": "add", "max_steps": steps + 1, "nodes": {"add": "add"}, "edges": {"add": [again]}}


def database_of(asked: common.Work) -> Database:
    return database_at(asked.url or f"sqlite:///{common.file_of(asked)}")


def durability_of(database: Database) -> str:
    connection = database.connect_writer()
    try:
        if isinstance(connection, sqlite3.Connection):
            return common.pragmas(connection)
        return f"PostgreSQL synchronous_commit={connection.execute('SHOW synchronous_commit').fetchone()[0]}"
    finally:
        connection.close()


def opened(database: Database) -> Store:
    store = Store(database, server_id="bench", address="bench", lease_s=15)
    store.open()
    return store


async def start(asked: common.Work, store: Store, known: dict[str, Tool]) -> None:
    graph = read_graph(loop(asked.steps), known)
    await store.graphs.add(graph)
    state = State.of(asked.state, STATE_BYTES_MAX)
    await asyncio.gather(*(store.runs.start(Start(run_id, graph.id, state, {})) for run_id in asked.run_ids))


async def ends(asked: common.Work, store: Store) -> list[RunRecord]:
    """All runs once they are over. Seldom asked, and for one row: a reader at every step would be a cost of its own."""
    for status in (Status.QUEUED, Status.RUNNING):
        while (await store.runs.page(RunFilter((status,)), 1)).items:  # noqa: ASYNC110
            await asyncio.sleep(common.POLL_S)
    records = [await store.runs.get(run_id) for run_id in asked.run_ids]
    if ends := [record for record in records if (record.status, record.step) != ("completed", asked.steps)]:
        raise SystemExit(f"a run is {ends[0]}")
    return records


def moment(text: str | None) -> float:
    return datetime.fromisoformat(text or "").timestamp()


async def measure(asked: common.Work) -> None:
    """Runs that are started here, or (S4) that a process left which was killed."""
    database = database_of(asked)
    migrate(database)
    durability = durability_of(database)
    known = tools(asked)
    store = opened(database)
    tune_collector()  # As every server of ours does at its start.
    engine = Engine(store, known, EngineSettings(asked.folder, 1000, 64, STATE_BYTES_MAX, 15))
    ready = time.time()
    engine.start()
    if asked.role != "resume":
        await start(asked, store, known)
    records = await ends(asked, store)
    begun = ready if asked.role == "resume" else min(moment(record.created_at) for record in records)
    await engine.stop()
    await store.close()
    common.report(asked, max(moment(record.finished_at) for record in records) - begun, durability)


async def start_only(asked: common.Work) -> str:
    database = database_of(asked)
    migrate(database)
    store = opened(database)
    await start(asked, store, tools(asked))
    await store.close()
    return durability_of(database)


def share_out(asked: common.Work) -> None:
    """Runs that wait when the servers start: from the first claim to the last commit."""
    import psycopg

    assert asked.url is not None
    durability = asyncio.run(start_only(asked))
    (asked.folder / "tools.py").write_text(TOOLS.replace("{pure}", str(asked.variant == "pure")))
    command = [sys.executable, "-m", "service", "engine", "--tools", "tools.py", "--database-url", asked.url]
    with psycopg.connect(asked.url, autocommit=True) as connection:

        def is_done() -> bool:
            done = "SELECT count(*) FILTER (WHERE status = 'completed') = count(*) FROM runs"
            return bool(connection.execute(done).fetchall()[0][0])

        common.serving([command] * asked.servers, is_done, cwd=asked.folder)
        took = "SELECT extract(epoch FROM max(finished_at) - min(started_at))::float, sum(step) FROM runs"
        seconds, steps = connection.execute(took).fetchall()[0]
    if steps != asked.total:
        raise SystemExit(f"{steps} steps instead of {asked.total}")
    common.report(asked, seconds, durability)


def over_http(asked: common.Work) -> None:
    """S5: `rungraph serve` with its engine; the clock stops at the last answer, the runs go on meanwhile."""
    (asked.folder / "tools.py").write_text(TOOLS.replace("{pure}", str(asked.variant == "pure")))
    port = http.free_port()
    url = asked.url or f"sqlite:///{common.file_of(asked)}"
    command = [sys.executable, "-m", "service", "serve", "--port", str(port), "--tools", "tools.py"]
    with http.server([*command, "--database-url", url], port, "/livez", cwd=asked.folder, env=common.environment()):
        graph = {"start_node": "noop", "nodes": {"noop": "noop"}}
        graph_id = http.post(port, "/graph/create", graph)["graph_id"]
        body = json.dumps({"graph_id": graph_id, "initial_state": asked.state}).encode()
        told = http.load(asked, port, "/graph/run", body)
        begun = time.perf_counter()
        ended_meanwhile = asked.runs + max(asked.runs // 10, 1) - unfinished(port)
        while unfinished(port):
            time.sleep(common.POLL_S)
        more = {"ended_meanwhile": ended_meanwhile, "seconds_to_end_the_rest": time.perf_counter() - begun}
    durability = durability_of(database_at(url))
    common.report(asked, told["seconds"], durability, steps=asked.runs, **told["more"], **more)


def unfinished(port: int) -> int:
    """How many runs have not ended yet, up to two full pages."""
    pages = (json.loads(http.get(port, f"/runs?status={status}&limit=1000")) for status in ("queued", "running"))
    return sum(len(page["items"]) for page in pages)


def main() -> None:
    asked = common.work()
    if asked.workload == "S5":
        over_http(asked)
    elif asked.workload == "S4" and not asked.role:
        common.killed_and_resumed(asked)
    elif asked.servers:
        share_out(asked)
    else:
        asyncio.run(measure(asked))


def template(asked: common.Work) -> Path:
    """A file, or with a URL that database, in which Rungraph has just done the work: what `raw` writes once more."""
    folder = asked.folder / "template"
    command = [sys.executable, "-m", "peers.rungraph", asked.workload, "--folder", str(folder)]
    command += ["--runs", str(asked.runs), "--steps", str(asked.steps), *(["--url", asked.url] if asked.url else [])]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "peer.db"


if __name__ == "__main__":
    main()
