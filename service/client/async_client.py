"""A client of a server whose methods are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from service.client import calls
from service.client.client import LINES_SHOWN
from service.client.connections import AsyncConnection
from service.client.errors import ApiError, ServerUnreachable
from service.client.following import Cursor, Polling, items_of
from service.client.messages import Answer, JsonObject, Request, read_bytes, read_object
from service.client.shown import RunState, RunView

if TYPE_CHECKING:
    import httpx


class AsyncClient:
    """The asynchronous form of Client: its methods are awaited, and its iterators are used with `async for`."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        token: str | None = None,
        timeout_s: float = 60.0,
        patience_s: float = 30.0,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """The arguments are those of Client; `http` is an `httpx.AsyncClient`."""
        self._connection = AsyncConnection(url, token, timeout_s, http)
        self._patience_s = patience_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._connection.close()

    async def call(self, request: Request) -> JsonObject:
        """Make any call that answers with a JSON object."""
        return read_object(await self._ask(request))

    async def _ask(self, request: Request) -> Answer:
        return await self._connection.ask(request, self._patience_s)

    # Graphs.

    async def create(self, graph: Mapping[str, Any]) -> str:
        """Store a graph and return its id."""
        return str((await self.call(calls.create(graph)))["graph_id"])

    async def graph(self, graph_id: str) -> JsonObject:
        """Return a graph with its definition in canonical form."""
        return await self.call(calls.graph(graph_id))

    def graphs(self) -> AsyncIterator[JsonObject]:
        """Yield all graphs without their definitions, newest first."""
        return self._items(calls.graphs)

    async def mermaid(self, graph_id: str) -> str:
        """Return a graph as a Mermaid flowchart."""
        return read_bytes(await self._ask(calls.mermaid(graph_id))).decode()

    async def backtest(self, graph_id: str, runs: Mapping[str, Any]) -> JsonObject:
        """Return where the edges of a graph would have led stored runs. `runs` selects them: `{"graph_id": …}`."""
        return await self.call(calls.backtest(graph_id, runs))

    async def tools(self) -> list[JsonObject]:
        """Return the tools that the server has."""
        return list((await self.call(calls.tools()))["items"])

    # Runs.

    async def start(
        self,
        graph: str | Mapping[str, Any],
        state: Mapping[str, Any] | None = None,
        *,
        tags: Mapping[str, str] | None = None,
        key: str | None = None,
        **more: Any,
    ) -> str:
        """Start a run and return its id. Once this returns, the run is on the server's disk."""
        named = graph if isinstance(graph, str) else await self.create(graph)
        return str((await self.call(calls.start(named, state or {}, tags or {}, key, more)))["run_id"])

    async def state(self, run_id: str) -> RunState:
        """Return a run with its state and without its log."""
        return RunState(await self.call(calls.run(run_id)))

    async def state_at(self, run_id: str, step: int) -> JsonObject:
        """Return the state as it was after a step; step 0 is the initial state."""
        return dict((await self.call(calls.state(run_id, step)))["state"])

    async def wait(self, run_id: str, timeout_s: float | None = None) -> RunState:
        """Wait until the run is over or paused, and return the run as `state` does.

        Raise TimeoutError if the run is neither after `timeout_s` seconds. None means that there is no time limit.
        """
        polling = Polling(run_id, timeout_s)
        while not polling.has_rested(await self.call(calls.summary(run_id))):  # noqa: ASYNC110
            await asyncio.sleep(polling.pause_s())
        return await self.state(run_id)

    def runs(self, **filters: Any) -> AsyncIterator[JsonObject]:
        """Yield runs without state and log, newest first. `filters` are the parameters of `GET /runs`."""
        return self._items(partial(calls.runs, filters, calls.PAGE_MAX))

    def steps(self, run_id: str, *, after_step: int = 0, node: str | None = None) -> AsyncIterator[JsonObject]:
        """Yield the committed steps of a run in order."""
        return self._items(lambda cursor: calls.steps(run_id, int(cursor or after_step), node=node))

    async def logs(self, run_id: str, *, after_seq: int = 0) -> AsyncIterator[JsonObject]:
        """Yield the log lines that are stored now, without waiting for new ones."""
        cursor = Cursor(after_seq)
        while not cursor.is_at_end:
            for line in cursor.take(await self.call(calls.logs(run_id, cursor.seq))):
                yield line

    async def lines(self, run_id: str, *, after_seq: int = 0) -> AsyncIterator[JsonObject]:
        """Yield the lines of the log as they come, each once and in order, until the run is over.

        If the connection breaks, the iterator connects again and goes on after the last line.
        """
        cursor = Cursor(after_seq, self._patience_s)
        while True:
            try:
                async with self._connection.events(calls.events(run_id, cursor.seq)) as stream:
                    if stream is None:
                        return
                    cursor.note_connection()
                    async for line in stream:
                        if cursor.is_new(line):
                            yield line
            except (ServerUnreachable, ApiError) as error:
                await asyncio.sleep(cursor.pause_after(error))

    async def why(self, run_id: str) -> JsonObject:
        """Return why a run is where it is, what it waits for, and what it decided last."""
        return await self.call(calls.why(run_id))

    async def path(self, run_id: str) -> JsonObject:
        """Return how often the run has visited each node and taken each edge."""
        return await self.call(calls.path(run_id))

    async def files(self, run_id: str) -> list[JsonObject]:
        """Return the files that a run has left in its folder."""
        return list((await self.call(calls.files(run_id)))["items"])

    async def file(self, run_id: str, name: str) -> bytes:
        """Return the content of a file of a run."""
        return read_bytes(await self._ask(calls.file(run_id, name)))

    async def show(self, run_id: str) -> RunView:
        """Return a run as a notebook shows it: where it is, its picture and its last lines."""
        run = await self.call(calls.run(run_id))
        definition = (await self.graph(run["graph_id"]))["definition"]
        lines = (await self.call(calls.newest_lines(run_id, LINES_SHOWN)))["items"]
        return RunView(run, definition, await self.path(run_id), lines[::-1])

    # Control.

    async def signal(self, run_id: str, name: str, payload: Any = None, *, key: str | None = None) -> None:
        """Send a signal to a run. `key` is the Idempotency-Key: the same key and payload are accepted only once."""
        await self.call(calls.signal(run_id, name, payload, key))

    async def cancel(self, run_id: str) -> str:
        """Cancel a run and return its status."""
        return str((await self.call(calls.cancel(run_id)))["status"])

    async def pause(self, run_id: str) -> str:
        """Pause a run and return its status. A `running` run pauses at its next step boundary, any other at once."""
        return str((await self.call(calls.pause(run_id)))["status"])

    async def resume(self, run_id: str, *, patch: Mapping[str, Any] | None = None, max_steps: int | None = None) -> str:
        """Resume a paused run, or let a failed run retry the node at which it failed. Return the run's status."""
        return str((await self.call(calls.resume(run_id, patch, max_steps)))["status"])

    async def fork(
        self,
        run_id: str,
        *,
        step: int | None = None,
        patch: Mapping[str, Any] | None = None,
        graph_id: str | None = None,
        node: str | None = None,
    ) -> str:
        """Start a new run with the state of the run `run_id` after `step`, and return the new run's id."""
        return str((await self.call(calls.fork(run_id, step, patch, graph_id, node)))["run_id"])

    async def delete(self, run_id: str) -> None:
        """Delete a run that is over, with its files."""
        read_bytes(await self._ask(calls.delete(run_id)))

    def _items(self, page_after: Callable[[Any], Request]) -> AsyncIterator[JsonObject]:
        return items_of(self.call, page_after)
