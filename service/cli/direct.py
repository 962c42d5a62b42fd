"""Answer the calls of commands that only read, from the database itself.

Building the HTTP application takes longer than everything else that such a command does. So the usual calls are
answered by the store's queries and by the functions that write the application's answers. Every other call, and every
call that the application would refuse, is made to an application within this process.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from service.api.filters.values import checked_filter
from service.api.limits import FILTERS_MAX
from service.api.responses import texts
from service.api.responses.texts import Text
from service.client import calls
from service.client.messages import Answer, Request, json_body
from service.core.errors import RungraphError, Unavailable
from service.core.syntax.ids import parse_graph_id, parse_run_id
from service.core.syntax.numbers import NUMBER_MAX
from service.settings import Settings
from service.store.database import reader
from service.store.queries.runs.filter import RunFilter
from service.store.reading import Reading

if TYPE_CHECKING:
    from fastapi import FastAPI

    from service.store.database.protocol import Database

_ID = "([0-9a-f-]{32,36})"

Params = Mapping[str, Any]
Call = Callable[[Request], Awaitable[Answer]]


@asynccontextmanager
async def reading(settings: Settings, database: Database, sources: Sequence[str]) -> AsyncIterator[Call]:
    """Yield a function that makes calls. It takes no lock, applies no migration and writes nothing.

    `sources` name the user's tools, which are loaded only if a call is made to an application.
    """
    store = Reading(database)
    application: Call | None = None

    async def call(request: Request) -> Answer:
        nonlocal application
        try:
            found = await _answer(store, request.path, request.params) if request.method == "GET" else None
        except Unavailable as error:
            return Answer(503, json_body({"detail": _explained(error)}))
        if found is not None:
            return Answer(200, found.encode())
        if application is None:
            from service.cli import within
            from service.client.connections import bearer

            app = _reader_of(settings, database, sources)
            await stack.enter_async_context(app.router.lifespan_context(app))
            application = partial(within.call, app, token=bearer(settings.api_token))
        return await application(request)

    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        stack.enter_context(_quiet(logging.getLogger(reader.__name__)))
        yield call


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Suppress the warnings of `logger`. The command itself reports why a read has failed."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _explained(error: Unavailable) -> str:
    """Return the message of `error` with the database's reason, which a server tells its operator but no client."""
    cause = getattr(error.__cause__, "orig", None) or error.__cause__
    reason = " ".join(str(cause).split()) if cause is not None else ""
    return f"{error}: {reason}" if reason and reason not in str(error) else str(error)


async def _answer(store: Reading, path: str, params: Params) -> Text | None:
    """Return the answer to a call, or None if the application has to answer it."""
    for pattern, answer in _ANSWERS.items():
        if found := re.fullmatch(pattern, path):
            try:
                return await answer(store, *found.groups(), **params)
            except Unavailable:
                raise
            except (RungraphError, TypeError, ValueError):  # The application says what is wrong.
                return None
    return None


async def _runs(store: Reading, *, limit: int, cursor: str | None = None, **filters: Any) -> Text:
    which = _filter(filters)
    page = await store.lists.page(which, _limit(limit), cursor)
    if not page.items and (which.graph_id or which.parent_id or which.forked_from):
        raise ValueError("there may be no such graph or run")
    return texts.page(map(texts.listed_run, page.items), page.next_cursor)


def _filter(filters: Mapping[str, Any]) -> RunFilter:
    """Return the filter of query parameters. A parameter that may be repeated may have one value or a list."""
    values = dict(filters)
    for name in {"status", "tag"} & set(values):
        values[name] = [values[name]] if isinstance(values[name], str) else values[name]
        if len(values[name]) > FILTERS_MAX:
            raise ValueError("the application checks it")
    return checked_filter(values, "")


async def _graphs(store: Reading, *, limit: int, cursor: str | None = None) -> Text:
    page = await store.graphs.page(_limit(limit), cursor and parse_graph_id(cursor))
    return texts.page(map(texts.graph, page.items), page.next_cursor)


async def _lines(store: Reading, run_id: str, *, limit: int, after_seq: int = 0) -> Text:
    page = await store.logs.page(parse_run_id(run_id), _checked(after_seq), _limit(limit))
    lines, last_seq, _ = page
    return texts.write({"items": texts.array(map(texts.line, lines)), "last_seq": last_seq})


async def _run(store: Reading, run_id: str, *, limit: int, after_seq: int = 0) -> Text:
    limit = _limit(limit)
    return texts.run(*await store.runs.whole(parse_run_id(run_id), _checked(after_seq), limit))


async def _state(store: Reading, run_id: str, *, step: int | None = None) -> Text:
    number, state = await store.history.state_at(parse_run_id(run_id), None if step is None else _checked(step))
    return texts.write({"step": number, "state": Text(state.to_text())})


async def _steps(store: Reading, run_id: str, *, after_step: int = 0, limit: int) -> Text:
    page = await store.history.page(parse_run_id(run_id), _checked(after_step), _limit(limit))
    return texts.page(map(texts.step, page.items), page.next_cursor)


async def _why(store: Reading, run_id: str) -> Text:
    from service.api.responses.explanation import explain  # imports the graph's types

    return texts.write(explain(await store.history.why(parse_run_id(run_id))))


async def _graph(store: Reading, graph_id: str) -> Text:
    return texts.graph(await store.graphs.get(parse_graph_id(graph_id)))


_ANSWERS: dict[str, Callable[..., Awaitable[Text]]] = {
    "/runs": _runs,
    "/graphs": _graphs,
    f"/runs/{_ID}/logs": _lines,
    f"/graph/state/{_ID}": _run,
    f"/runs/{_ID}/state": _state,
    f"/runs/{_ID}/steps": _steps,
    f"/runs/{_ID}/why": _why,
    f"/graph/{_ID}": _graph,
}
"""The functions that answer, by the path of the call. Each takes the call's parameters by name."""


def _limit(number: Any) -> int:
    return _checked(number, calls.PAGE_MAX, least=1)


def _checked(number: Any, most: int = NUMBER_MAX, *, least: int = 0) -> int:
    if type(number) is not int or not least <= number <= most:
        raise ValueError("the application checks it")
    return number


def _reader_of(settings: Settings, database: Database, sources: Sequence[str]) -> FastAPI:
    """Return an application that only reads: it takes no lock and applies no migration."""
    from service import example
    from service.api import ApiSettings, Services, Stop, create_api
    from service.server import built_in_example
    from service.store import Store
    from service.tools import registry

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # The store is not opened: its writer stays idle, and its readers connect when they are asked.
        store = Store(database, server_id=str(uuid.uuid4()), address="", lease_s=settings.lease_seconds)
        tools = registry.load(sources, built_in=example.TOOLS)
        app.state.services = Services(
            store=store,
            tools=tools,
            example=built_in_example(tools),
            runs_folder=settings.runs_folder(database),
            ready=_reads_only,
            stop=Stop(),
        )
        try:
            yield
        finally:
            await store.close()

    return create_api(ApiSettings(api_token=settings.api_token), lifespan)


async def _reads_only() -> str:
    return "it only reads"
