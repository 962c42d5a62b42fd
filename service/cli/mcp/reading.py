"""The tools of the assistant that only read.

Each call finds the server anew, as a command of the terminal does, so servers may start and stop between two calls.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from service.cli import asking
from service.cli.mcp.cutting import RESULT_CHARS_MAX, Cutter
from service.client import calls
from service.client.messages import JsonObject
from service.core import codec
from service.core.errors import RungraphError
from service.core.syntax import path as paths
from service.core.syntax.numbers import NUMBER_MAX
from service.core.syntax.pointer import pointer
from service.core.transitions import Status
from service.settings import Settings

ITEMS_MAX = 50
NAMES_TOLD_MAX = 20

Limit = Annotated[int, Field(ge=1, le=ITEMS_MAX, description="The most items.")]
Cursor = Annotated[str | None, Field(description="The `next_cursor` of the page before.")]
RunId = Annotated[str, Field(description="The id of a run, as list_runs returns it.")]
Number = Annotated[int, Field(ge=0)]


class ReadingTools:
    """The reading tools, on the server or the database that `settings` name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def list_graphs(self, limit: Limit = 20, cursor: Cursor = None) -> str:
        """List graphs, newest first, without their definitions. A graph may have been posted in several versions."""
        async with self._server() as server:
            return _page(await server.ask(calls.graphs(cursor, limit)))

    async def show_graph(
        self, graph: Annotated[str, Field(description="Its id, or its name for the latest of that name.")]
    ) -> str:
        """Return the definition of a graph: its nodes, edges and conditions."""
        async with self._server() as server:
            found = await server.ask(calls.graph(await asking.graph_id_of(server, graph)))
        return _document(found)

    async def list_runs(
        self,
        status: Annotated[list[Status] | None, Field(description="Runs in any of these statuses.")] = None,
        graph: Annotated[str | None, Field(description="Runs of the graphs of this name.")] = None,
        tag: Annotated[list[str] | None, Field(description="Runs with all of these tags, each KEY:VALUE.")] = None,
        parent_id: Annotated[str | None, Field(description="Children of this run; `none`: no children.")] = None,
        id_prefix: Annotated[str | None, Field(description="Runs whose ids begin so; at least 4 characters.")] = None,
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> str:
        """List runs, newest first: status, graph, current node, step, error, tags, times. Without states and logs."""
        filters = {"status": status, "graph": graph, "tag": tag, "parent_id": parent_id, "id_prefix": id_prefix}
        given = {name: value for name, value in filters.items() if value is not None}
        async with self._server() as server:
            return _page(await server.ask(calls.runs(given, limit, cursor)))

    async def explain_run(self, run_id: RunId) -> str:
        """Say why a run is where it is: what it waits for, its last decision, and the attempts of its step."""
        async with self._server() as server:
            found = await server.ask(calls.why(asking.known_run_id(run_id)))
        return _document(found)

    async def read_state(
        self,
        run_id: RunId,
        step: Annotated[Number | None, Field(description="After this step; 0: the initial state.")] = None,
        path: Annotated[str, Field(description="Only the value here: dotted names, or a JSON Pointer.")] = "",
        offset: Annotated[Number, Field(description="Characters, elements or members of it to skip.")] = 0,
    ) -> str:
        """Return the state of a run, or one value in it. `cut` lists what is shown in part: use `path` and `offset`."""
        async with self._server() as server:
            found = await server.ask(calls.state(asking.known_run_id(run_id), step))
            value = _value_at(found["state"], path)
        cutter = Cutter()
        shown = cutter.fit(value, RESULT_CHARS_MAX, pointer(*_segments(path)), offset)
        return _text({"step": found["step"], "value": shown}, cutter)

    async def list_steps(
        self,
        run_id: RunId,
        after_step: Annotated[Number, Field(description="Only steps after this one.")] = 0,
        limit: Limit = 20,
    ) -> str:
        """List the committed steps of a run: attempts, changed keys, and the conditions evaluated with their values.

        `next_cursor` is the `after_step` of the next page. Long values are shown in part; to read more of the state,
        call read_state with `step` and `path`.
        """
        async with self._server() as server:
            return _page(await server.ask(calls.steps(asking.known_run_id(run_id), after_step, limit)))

    async def read_log(
        self,
        run_id: RunId,
        after_seq: Annotated[Number | None, Field(description="Lines after this one, oldest first.")] = None,
        before_seq: Annotated[Number | None, Field(description="Lines before this one, newest first.")] = None,
        level: Annotated[str | None, Field(description="debug, info, warning or error: that and above.")] = None,
        text: Annotated[str | None, Field(description="Only lines that contain this.")] = None,
        limit: Limit = 20,
    ) -> str:
        """Return lines of a run's log, by default the newest first. A smaller limit shows more of each long line."""
        if after_seq is None and before_seq is None:
            before_seq = NUMBER_MAX
        filters = {"before_seq": before_seq, "level": level, "text": text}
        async with self._server() as server:
            return _page(await server.ask(calls.logs(asking.known_run_id(run_id), after_seq or 0, limit, **filters)))

    @asynccontextmanager
    async def _server(self) -> AsyncIterator[asking.ServerClient]:
        with told_refusals():
            async with asking.reading(self._settings) as server:
                yield server


@contextmanager
def told_refusals() -> Iterator[None]:
    """Turn a refusal into a tool error with its text, which the assistant reads."""
    try:
        yield
    except RungraphError as refused:
        raise ToolError(str(refused)) from refused


def _page(page: JsonObject) -> str:
    """Return a page with all its items, long values shortened."""
    cutter = Cutter()
    return _text({**page, "items": cutter.fit_items(page["items"], "/items")}, cutter)


def _document(document: JsonObject) -> str:
    cutter = Cutter()
    return _text(cutter.fit(document, RESULT_CHARS_MAX), cutter)


def _text(document: JsonObject, cutter: Cutter) -> str:
    """Return a result as JSON. If values were shortened, its member `cut` has the notes about them."""
    notes = cutter.notes()
    return codec.encode({**document, "cut": notes} if notes else document)


def _value_at(state: Any, path: str) -> Any:
    """Return the value at `path` in a state. If there is none, raise ToolError, which lists the existing names."""
    value = state
    for segment in _segments(path):
        found = paths.step_into(value, segment)
        if found is paths.MISSING:
            there = f"; there are {list(value)[:NAMES_TOLD_MAX]!r:.1000}" if isinstance(value, dict) else ""
            raise ToolError(f"the state has no {segment!r:.200} of the path {path!r:.200}{there}")
        value = found
    return value


def _segments(path: str) -> list[str]:
    return paths.segments(path) if path else []
