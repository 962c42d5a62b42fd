"""A client of a server whose methods block."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from typing import Any, Self

from service.client import calls
from service.client.connections import BlockingHttp, Connection
from service.client.errors import ApiError, ServerUnreachable
from service.client.following import Cursor, Polling
from service.client.messages import JsonObject, Request, read_bytes, read_object
from service.client.shown import RunState, RunView

LINES_SHOWN = 10
"""The number of log lines that a notebook shows of a run."""


class Client:
    """Calls a server. Its methods return the answers of the HTTP API, and raise ApiError if a call is refused.

    If the connection breaks or the server cannot answer now, a call that can be made twice without harm is repeated for
    up to `patience_s` seconds. Any other call is repeated only if the server cannot have received it. Starts and
    signals carry an Idempotency-Key, so they can be made twice.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        token: str | None = None,
        timeout_s: float = 60.0,
        patience_s: float = 30.0,
        http: BlockingHttp | None = None,
    ) -> None:
        """`token` is the server's RUNGRAPH_API_TOKEN. `timeout_s` bounds each wait for the network.

        If `http` is given, such as a TestClient of an application, it makes the calls, and the caller closes it. Then
        `token` is not used, and of `url` only the path: `Client("/flows", http=client)` calls an application that is
        mounted at `/flows`.
        """
        self._connection = Connection(url, token, timeout_s, http)
        self._patience_s = patience_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def call(self, request: Request) -> JsonObject:
        """Make any call that answers with a JSON object."""
        return read_object(self._connection.ask(request, self._patience_s))

    # Graphs.

    def create(self, graph: Mapping[str, Any]) -> str:
        """Store a graph and return its id. The same definition always has the same id."""
        return str(self.call(calls.create(graph))["graph_id"])

    def graph(self, graph_id: str) -> JsonObject:
        """Return a graph with its definition in canonical form."""
        return self.call(calls.graph(graph_id))

    def graphs(self) -> Iterator[JsonObject]:
        """Yield all graphs without their definitions, newest first."""
        return self._items(calls.graphs)

    def mermaid(self, graph_id: str) -> str:
        """Return a graph as a Mermaid flowchart."""
        return read_bytes(self._connection.ask(calls.mermaid(graph_id), self._patience_s)).decode()

    def backtest(self, graph_id: str, runs: Mapping[str, Any]) -> JsonObject:
        """Return where the edges of a graph would have led stored runs. `runs` selects them: `{"graph_id": …}`."""
        return self.call(calls.backtest(graph_id, runs))

    def tools(self) -> list[JsonObject]:
        """Return the tools that the server has."""
        return list(self.call(calls.tools())["items"])

    # Runs.

    def start(
        self,
        graph: str | Mapping[str, Any],
        state: Mapping[str, Any] | None = None,
        *,
        tags: Mapping[str, str] | None = None,
        key: str | None = None,
        **more: Any,
    ) -> str:
        """Start a run and return its id. Once this returns, the run is on the server's disk.

        `graph` is a graph's id, a name, or a definition, which is stored first. A name stands for the latest graph of
        that name. `key` is the Idempotency-Key: calls with the same key and arguments start only one run. `more` are
        further fields of the body of `POST /graph/run`.
        """
        named = graph if isinstance(graph, str) else self.create(graph)
        return str(self.call(calls.start(named, state or {}, tags or {}, key, more))["run_id"])

    def state(self, run_id: str) -> RunState:
        """Return a run with its state and without its log.

        The result is a dict with the fields of `GET /runs/{run_id}`, among them `status`, `state` and `error`. A
        notebook shows it as a picture of the graph and the newest lines of the log. It fetches both when it shows them.
        """
        return RunState(self.call(calls.run(run_id)), partial(self.show, run_id))

    def state_at(self, run_id: str, step: int) -> JsonObject:
        """Return the state as it was after a step; step 0 is the initial state."""
        return dict(self.call(calls.state(run_id, step))["state"])

    def wait(self, run_id: str, timeout_s: float | None = None) -> RunState:
        """Wait until the run is over or paused, and return the run as `state` does.

        Raise TimeoutError if the run is neither after `timeout_s` seconds. None means that there is no time limit.
        """
        polling = Polling(run_id, timeout_s)
        while not polling.has_rested(self.call(calls.summary(run_id))):
            time.sleep(polling.pause_s())
        return self.state(run_id)

    def runs(self, **filters: Any) -> Iterator[JsonObject]:
        """Yield runs without state and log, newest first. `filters` are the parameters of `GET /runs`."""
        return self._items(partial(calls.runs, filters, calls.PAGE_MAX))

    def steps(self, run_id: str, *, after_step: int = 0, node: str | None = None) -> Iterator[JsonObject]:
        """Yield the committed steps of a run in order."""
        return self._items(lambda cursor: calls.steps(run_id, int(cursor or after_step), node=node))

    def logs(self, run_id: str, *, after_seq: int = 0) -> Iterator[JsonObject]:
        """Yield the log lines that are stored now, without waiting for new ones."""
        cursor = Cursor(after_seq)
        while not cursor.is_at_end:
            yield from cursor.take(self.call(calls.logs(run_id, cursor.seq)))

    def lines(self, run_id: str, *, after_seq: int = 0) -> Iterator[JsonObject]:
        """Yield the lines of the log, stored ones first, then new ones as they come, until the run is over.

        Each line comes once and in order. If the connection breaks, the iterator connects again and goes on after the
        last line. Raise ApiError if the server refuses the call. Raise the last error, ServerUnreachable or ApiError,
        if the server has not answered for `patience_s` seconds.
        """
        cursor = Cursor(after_seq, self._patience_s)
        while True:
            try:
                is_over = yield from self._live(run_id, cursor)
            except (ServerUnreachable, ApiError) as error:
                time.sleep(cursor.pause_after(error))
            else:
                if is_over:
                    return

    def _live(self, run_id: str, cursor: Cursor) -> Generator[JsonObject, None, bool]:
        """Yield lines until the connection ends, and return whether the run is over."""
        stream = self._connection.events(calls.events(run_id, cursor.seq))
        while True:
            try:
                line = next(stream)
            except StopIteration as end:
                return bool(end.value)
            if line is None:
                cursor.note_connection()
            elif cursor.is_new(line):
                yield line

    def why(self, run_id: str) -> JsonObject:
        """Return why a run is where it is, what it waits for, and what it decided last."""
        return self.call(calls.why(run_id))

    def path(self, run_id: str) -> JsonObject:
        """Return how often the run has visited each node and taken each edge."""
        return self.call(calls.path(run_id))

    def files(self, run_id: str) -> list[JsonObject]:
        """Return the files that a run has left in its folder."""
        return list(self.call(calls.files(run_id))["items"])

    def file(self, run_id: str, name: str) -> bytes:
        """Return the content of a file of a run."""
        return read_bytes(self._connection.ask(calls.file(run_id, name), self._patience_s))

    def show(self, run_id: str) -> RunView:
        """Return a run as a notebook shows it: where it is, its picture and its last lines."""
        run = self.call(calls.run(run_id))
        definition = self.graph(run["graph_id"])["definition"]
        lines = self.call(calls.newest_lines(run_id, LINES_SHOWN))["items"]
        return RunView(run, definition, self.path(run_id), lines[::-1])

    # Control.

    def signal(self, run_id: str, name: str, payload: Any = None, *, key: str | None = None) -> None:
        """Send a signal to a run. `key` is the Idempotency-Key: the same key and payload are accepted only once."""
        self.call(calls.signal(run_id, name, payload, key))

    def cancel(self, run_id: str) -> str:
        """Cancel a run and return its status."""
        return str(self.call(calls.cancel(run_id))["status"])

    def pause(self, run_id: str) -> str:
        """Pause a run and return its status. A `running` run pauses at its next step boundary, any other at once."""
        return str(self.call(calls.pause(run_id))["status"])

    def resume(self, run_id: str, *, patch: Mapping[str, Any] | None = None, max_steps: int | None = None) -> str:
        """Resume a paused run, or let a failed run retry the node at which it failed. Return the run's status.

        `patch` is a JSON Merge Patch of the run's state. `max_steps` replaces the run's limit of steps.
        """
        return str(self.call(calls.resume(run_id, patch, max_steps))["status"])

    def fork(
        self,
        run_id: str,
        *,
        step: int | None = None,
        patch: Mapping[str, Any] | None = None,
        graph_id: str | None = None,
        node: str | None = None,
    ) -> str:
        """Start a new run with the state of the run `run_id` after `step`, and return the new run's id.

        By default, `step` is the last step, `graph_id` is the old run's graph, and `node` is the node after the step.
        `patch` is a JSON Merge Patch of the state.
        """
        return str(self.call(calls.fork(run_id, step, patch, graph_id, node))["run_id"])

    def delete(self, run_id: str) -> None:
        """Delete a run that is over, with its files."""
        read_bytes(self._connection.ask(calls.delete(run_id), self._patience_s))

    def _items(self, page_after: Callable[[Any], Request]) -> Iterator[JsonObject]:
        """Yield the items of all pages. `page_after` returns the call for the page after a cursor (None: the first)."""
        cursor = None
        while True:
            page = self.call(page_after(cursor))
            yield from page["items"]
            if (cursor := page["next_cursor"]) is None:
                return
