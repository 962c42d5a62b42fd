"""LangGraph: a compiled graph of one node, `ainvoke` with durability="sync", one thread of checkpoints a run.

Durability, by its source (langgraph-checkpoint-sqlite aio.py, `setup`): `PRAGMA journal_mode=WAL`, and synchronous
left at what SQLite was compiled with, FULL here; we set it all the same and read it back. "sync" waits for a
checkpoint before the next step begins: aput and aput_writes each commit. The variants `async` (a checkpoint is written
while the next step runs) and `exit` (one checkpoint at the end of the run) do not. On PostgreSQL the connections
autocommit, as its documentation has it, and the server's synchronous_commit decides. One node's return is its change,
`count`; the saver writes the whole state as one blob with each checkpoint on SQLite, changed channels on PostgreSQL.
S5 is its own server, `langgraph dev`, which keeps everything in memory.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypedDict

from peers import common


class State(TypedDict):
    count: int
    payload: str


class Peer:
    def __init__(self, asked: common.Work) -> None:
        self.asked = asked
        self.stand = common.Stand(asked)
        self.durability = asked.variant or "sync"

    def compile(self, saver: Any) -> Any:
        from langgraph.graph import END, START, StateGraph

        async def add(state: State) -> dict[str, int]:
            await self.stand(state["count"])
            return {"count": state["count"] + 1}

        steps = self.asked.steps
        builder = StateGraph(State)
        builder.add_node("add", add)
        builder.add_edge(START, "add")
        builder.add_conditional_edges("add", lambda state: "add" if state["count"] < steps else END, ["add", END])
        return builder.compile(checkpointer=saver)

    async def invoke(self, graph: Any, run_ids: list[str], state: dict[str, Any] | None) -> None:
        async def one(run_id: str) -> None:
            config = {"configurable": {"thread_id": run_id}, "recursion_limit": self.asked.steps + 10}
            common.check(await graph.ainvoke(state, config, durability=self.durability), self.asked.steps)

        await asyncio.gather(*map(one, run_ids))

    @asynccontextmanager
    async def saver(self) -> AsyncIterator[tuple[Any, str]]:
        if self.asked.url:
            from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
            from psycopg.rows import dict_row
            from psycopg_pool import AsyncConnectionPool

            # As its documentation sets up a pool; the saver itself lets one statement through at a time.
            options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
            async with AsyncConnectionPool(self.asked.url, min_size=1, max_size=10, kwargs=options) as pool:
                saver = AsyncPostgresSaver(pool)
                async with pool.connection() as connection:
                    (row,) = await (await connection.execute("SHOW synchronous_commit")).fetchall()
                yield saver, f"PostgreSQL synchronous_commit={row['synchronous_commit']}, durability={self.durability}"
            return
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        async with AsyncSqliteSaver.from_conn_string(str(common.file_of(self.asked))) as saver:
            await saver.conn.execute("PRAGMA synchronous = FULL")
            await saver.setup()
            answers = [
                (await (await saver.conn.execute(f"PRAGMA {of}")).fetchone())[0]
                for of in ("journal_mode", "synchronous")
            ]
            yield saver, common.said(*answers) + f", durability={self.durability}"

    async def measure(self) -> None:
        async with self.saver() as (saver, durability):
            if self.asked.url:
                await saver.setup()
            graph = self.compile(saver)
            begun = time.perf_counter()
            await self.invoke(graph, self.asked.run_ids, None if self.asked.role == "resume" else self.asked.state)
            seconds = time.perf_counter() - begun
        if self.asked.role != "stand":
            common.report(self.asked, seconds, durability)

    async def serve(self) -> None:
        async with self.saver() as (saver, _):
            graph = self.compile(saver)
            await common.told(lambda: self.invoke(graph, self.asked.share, self.asked.state))

    async def set_up(self) -> str:
        async with self.saver() as (saver, durability):
            await saver.setup()
            return str(durability)


def over_http(asked: common.Work) -> None:
    """S5: `POST /runs`, its call that starts a run in the background without a thread of its own."""
    from peers import http

    (asked.folder / "graph.py").write_text(GRAPH)
    settings = {"dependencies": ["."], "graphs": {"noop": "./graph.py:graph"}}
    (asked.folder / "langgraph.json").write_text(json.dumps(settings))
    port = http.free_port()
    program = str(Path(__import__("sys").executable).with_name("langgraph"))
    command = [program, "dev", "--no-browser", "--no-reload", "--port", str(port), "--server-log-level", "ERROR"]
    quiet = common.environment(LANGGRAPH_CLI_NO_ANALYTICS="1", LANGSMITH_TRACING="false", LANGCHAIN_TRACING_V2="false")
    body = json.dumps({"assistant_id": "noop", "input": asked.state}).encode()
    with http.server(command, port, "/ok", cwd=asked.folder, env=quiet):
        told = http.load(asked, port, "/runs", body)
    common.report(
        asked, told["seconds"], "none: langgraph dev keeps its runs in memory", steps=asked.runs, **told["more"]
    )


GRAPH = """
from typing import TypedDict

from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    count: int
    payload: str


async def noop(state: State) -> dict:
    return {}


builder = StateGraph(State)
builder.add_node("noop", noop)
builder.add_edge(START, "noop")
builder.add_edge("noop", END)
graph = builder.compile()
"""


def main() -> None:
    asked = common.work()
    peer = Peer(asked)
    if asked.workload == "S5":
        over_http(asked)
    elif asked.workload == "S4" and not asked.role:
        common.killed_and_resumed(asked)
    elif asked.role.startswith("server"):
        asyncio.run(peer.serve())
    elif asked.servers:
        durability = asyncio.run(peer.set_up())
        common.report(asked, common.run_servers(asked), durability)
    else:
        asyncio.run(peer.measure())


if __name__ == "__main__":
    main()
