"""Find the server that answers a command, make calls to that server, and follow a run there.

The server is the one that --url names, or else the one that owns the database. If there is neither, the same calls are
answered within this process: by an application, or for most calls of `reading` by the store's queries (see `direct`).
A command that uses `reading` takes no lock, applies no migration, writes nothing and executes no run, so it does no
harm beside a server.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from service.cli import output
from service.cli.text import shown
from service.client import calls
from service.client.errors import ApiError, NotRungraph, ServerUnreachable
from service.client.following import MOVING, items_of
from service.client.messages import Answer, Request, read_object
from service.core.errors import NotFound, StartRefused, Unavailable
from service.core.syntax.ids import is_graph_id, parse_run_id
from service.process import collector_paused
from service.settings import Settings

if TYPE_CHECKING:  # These are slow to import, and few commands need them.
    from fastapi import FastAPI

    from service.cli.held import Holding
    from service.store.database.protocol import Database
    from service.store.rows.records import HeldRecord

T = TypeVar("T")

POLL_S = 0.2
ANSWER_S = 60.0
"""How long a server may take for one answer."""
PATIENCE_S = 30.0
"""How long to wait for a server that answered before: it may be starting again."""
HELD_EVERY_S = 0.5
"""The least time between two queries of what a silent run waits for."""

_ENDINGS = frozenset({"run_completed", "run_failed", "run_cancelled", "run_paused"})

Show = Callable[[dict[str, Any]], str | None]
"""Returns the text to print for a line of the log. None: nothing is printed."""

Execute = Callable[[str], AbstractAsyncContextManager[None]]
"""Returns a context inside which the run with this id and its descendants are executed."""

Held = Callable[[str, int], Awaitable["Sequence[HeldRecord]"]]
"""Returns the waits of the run with this id and of its descendants, at most as many as the number says."""


async def _unknown(_run_id: str, _limit: int) -> Sequence[HeldRecord]:
    """Return no waits: people can ask the server, to which they also send the signals that a run waits for."""
    return ()


def _left_to_it(_run_id: str) -> AbstractAsyncContextManager[None]:
    """Return a context that does nothing: a server executes runs with its own engine."""
    return nullcontext()


Send = Callable[[Request], Awaitable[Answer]]
"""Makes a call and returns its answer. Raises ServerUnreachable if nobody answers."""


class ServerClient:
    """A client of the server at `address`. None: the calls are answered within this process."""

    def __init__(self, send: Send, address: str | None, execute: Execute = _left_to_it, held: Held = _unknown) -> None:
        self._send = send
        self.address = address
        self.execute = execute
        self.held = held

    async def ask(self, request: Request, *, what: str = "") -> dict[str, Any]:
        """Return the answer. Raise Unavailable if a retry may succeed, and StartRefused if `what` is refused."""
        try:
            return read_object(await self._send(request))
        except ServerUnreachable as error:
            raise Unavailable(str(error)) from error
        except NotRungraph as error:
            raise StartRefused(f"the server at {self.address} is none of Rungraph's: {error.detail}") from error
        except ApiError as error:
            if error.status >= 500:
                raise Unavailable(error.reason) from error
            raise StartRefused(f"{what} was refused: {error.reason}" if what else error.reason) from error

    def items(self, page_after: Callable[[Any], Request]) -> AsyncIterator[dict[str, Any]]:
        """Yield the items of all pages; `page_after` returns the call for the page after a cursor."""
        return items_of(self.ask, page_after)

    async def ask_again(self, request: Request) -> dict[str, Any]:
        """Return the answer of a server that answered before. If it is gone, retry for PATIENCE_S: it may restart."""
        gone_since: float | None = None
        while True:
            try:
                return await self.ask(request)
            except Unavailable as error:
                if gone_since is None:
                    gone_since = time.monotonic()
                    note(f"{error}; trying for {PATIENCE_S:g} s")
                elif time.monotonic() > gone_since + PATIENCE_S:
                    raise
                await asyncio.sleep(POLL_S)


@asynccontextmanager
async def executing(settings: Settings, command: str, *, must_exist: bool = False) -> AsyncIterator[ServerClient]:
    """Yield a client of the server that the settings name, or else of the server that owns the database.

    If there is neither, yield a client of an application within this process, which creates the database if it is
    missing. Raise StartRefused if the owner takes no calls, or if `must_exist` is true and the database is missing.
    """
    if settings.server_url is not None:
        async with _far(settings, settings.server_url) as server:
            yield server
        return
    database = settings.database()
    owner = database.owner()
    if owner is not None and not _answers(owner):
        raise StartRefused(f"{database.name} is in use by {owner}, and that takes no calls; try again without it")
    if owner is not None:
        async with _far(settings, owner) as server:
            yield server
        return
    if must_exist:
        check_existence(database)
    from service.main import create_app, executing_family  # slow to import

    address = f"rungraph {command} (process {os.getpid()}), which serves nobody"
    app = create_app(settings, address, with_engine=False)

    def execute(run_id: str) -> AbstractAsyncContextManager[None]:
        return executing_family(settings, app.state.server, run_id)

    async def held(run_id: str, limit: int) -> Sequence[HeldRecord]:
        found: list[HeldRecord] = await app.state.server.store.history.held(run_id, limit)
        return found

    async with _near(settings, app, execute, held) as server:
        yield server


@asynccontextmanager
async def reading(settings: Settings, *, with_tools: bool = False) -> AsyncIterator[ServerClient]:
    """Yield a client of the server that the settings name, or else of the server that owns the database.

    If there is neither, or if the owner takes no calls, the answers come from the database itself (see `direct`). The
    user's tools are loaded only if `with_tools` is true. Raise StartRefused if the database is missing.
    """
    if settings.server_url is not None:
        async with _far(settings, settings.server_url) as server:
            yield server
        return
    database = settings.database()
    owner = database.owner()
    if owner is not None and _answers(owner):
        async with _far(settings, owner) as server:
            yield server
        return
    check_existence(database)
    with collector_paused():
        from service.cli import direct  # imports the store

    async with direct.reading(settings, database, settings.tools if with_tools else ()) as call:
        yield ServerClient(call, None)


async def follow(server: ServerClient, run_id: str, show: Show, holding: Holding | None = None) -> dict[str, Any]:
    """Print the run's lines as they come, until it is over or paused, and return the run as it then is.

    With `holding`, also print what the run waits for.
    """
    with output.progress() as shown:
        return await _follow(server, run_id, partial(_show, shown, show), holding)


async def _follow(
    server: ServerClient, run_id: str, show: Callable[[dict[str, Any]], None], holding: Holding | None
) -> dict[str, Any]:
    after_seq, event = 0, None
    asked_at = time.monotonic()
    held: Sequence[HeldRecord] = ()
    page = await server.ask(calls.logs(run_id))
    while True:
        for line in page["items"]:
            after_seq, event = line["seq"], line["event"]
            show(line)
        if after_seq >= page["last_seq"]:
            # The tail has the whole state. So it is only read after a line that ends or pauses the run.
            if event in _ENDINGS:
                run = await server.ask_again(calls.tail(run_id, after_seq))
                if not is_moving(run) and run["last_seq"] <= after_seq:
                    return run
            await asyncio.sleep(POLL_S)
            if holding is not None and time.monotonic() > asked_at + HELD_EVERY_S:
                with suppress(Unavailable):  # The server is asked again soon.
                    held = await server.held(run_id, holding.waits_max)
                asked_at = time.monotonic()
        page = await server.ask_again(calls.logs(run_id, after_seq))
        if holding is not None and not page["items"]:  # New lines may already report these waits or their ends.
            for news in holding.news(held):
                note(news)
        held = ()


def _show(progress: output.Progress, show: Show, line: dict[str, Any]) -> None:
    if (shown := show(line)) is not None:
        progress.line(shown, line)


async def start_and_follow(
    settings: Settings,
    command: str,
    start: Callable[[ServerClient], Awaitable[str]],
    show: Show,
    *,
    is_quiet: bool = False,
) -> dict[str, Any]:
    """Start a run, print its id unless `is_quiet`, follow it until it is over or paused, and return it as it then is.

    If a signal, a closed output or a lost server ends this earlier, print how the run goes on.
    """
    with _stopped_by_signals():
        async with executing(settings, command) as server:
            run_id = await start(server)
            async with server.execute(run_id):
                try:
                    if not is_quiet:
                        print(f"run {run_id}", flush=True)
                    from service.cli.held import Holding

                    holding = Holding(run_id, settings.tools, is_shared=settings.database().is_shared)
                    return await follow(server, run_id, show, holding)
                except (asyncio.CancelledError, BrokenPipeError, Unavailable):
                    # Printed before the run is released, since a running step may delay the release by engine.GRACE_S.
                    note(_how_it_goes_on(settings, server, run_id))
                    raise


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` and return its result. Raise KeyboardInterrupt if a signal has cancelled it."""
    try:
        return asyncio.run(coroutine)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def read(settings: Settings, request: Request, *, with_tools: bool = False) -> dict[str, Any]:
    """Make a call that reads, and return its answer."""

    async def ask() -> dict[str, Any]:
        async with reading(settings, with_tools=with_tools) as server:
            return await server.ask(request)

    return run(ask())


def read_items(
    settings: Settings, page_after: Callable[[Any], Request], limit: int | None = None
) -> list[dict[str, Any]]:
    """Return the items of all pages, or the first `limit` of them."""

    async def ask() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async with reading(settings) as server:
            async for item in server.items(page_after):
                found.append(item)
                if len(found) == limit:
                    break
        return found

    return run(ask())


def change(
    settings: Settings,
    command: str,
    request: Request,
    *,
    what: str = "the call",
    must_exist: bool = True,
    then: str | None = None,
) -> dict[str, Any]:
    """Make a call that writes, and return its answer. If no server runs, note that `then` happens as soon as one does.

    If the call is refused, the error says that `what` was refused. Unless `must_exist`, a missing database is created.
    """

    async def ask() -> dict[str, Any]:
        async with executing(settings, command, must_exist=must_exist) as server:
            answer = await server.ask(request, what=what)
            if server.address is None and then is not None:
                note(f"no server runs on this database; {then} as soon as one does: rungraph serve")
            return answer

    return run(ask())


def known_run_id(text: str) -> str:
    """Return `text` if it has the form of a run's id. Otherwise raise StartRefused, without asking a server."""
    try:
        return parse_run_id(text)
    except NotFound as error:
        raise StartRefused(str(error)) from error


async def graph_id_of(server: ServerClient, graph: str) -> str:
    """Return `graph` if it has the form of an id, or else the id of the latest graph of that name."""
    if is_graph_id(graph):
        return graph
    async for each in server.items(calls.graphs):  # The newest first.
        if each["name"] == graph:
            return str(each["graph_id"])
    raise StartRefused(f"no graph has the name {graph!r:.200}, or the id")


def is_moving(run: dict[str, Any]) -> bool:
    """Return whether the run goes on by itself."""
    return run["status"] in MOVING


def note(message: str) -> None:
    """Print a message for people, on stderr."""
    print(f"rungraph: {shown(message)}", file=sys.stderr, flush=True)


def _how_it_goes_on(settings: Settings, server: ServerClient, run_id: str) -> str:
    if server.address is None:
        tools = "".join(f" --tools {shlex.quote(source)}" for source in settings.tools)
        then = f"goes on as soon as a server runs on its database: rungraph serve{tools}"
    else:
        then = f"is left to the server at {server.address}"
    return f"stopping; run {run_id} {then}; its log: rungraph logs -f {run_id}"


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Cancel the current task on Ctrl-C or SIGTERM. A second signal ends the process; acknowledged work is on disk."""
    loop, current, was_asked = asyncio.get_running_loop(), asyncio.current_task(), False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal was_asked
        if was_asked or current is None:
            os._exit(128 + signal.SIGINT)  # Whichever of the two signals it is, as for the first one.
        was_asked = True
        loop.call_soon_threadsafe(current.cancel)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@asynccontextmanager
async def _far(settings: Settings, address: str) -> AsyncIterator[ServerClient]:
    from service.client.connections import AsyncConnection

    connection = AsyncConnection(address, settings.api_token, ANSWER_S, None)
    try:
        yield ServerClient(connection.send, address)
    finally:
        await connection.close()


@asynccontextmanager
async def _near(
    settings: Settings, app: FastAPI, execute: Execute = _left_to_it, held: Held = _unknown
) -> AsyncIterator[ServerClient]:
    from service.cli import within
    from service.client.connections import bearer

    async with app.router.lifespan_context(app):
        yield ServerClient(partial(within.call, app, token=bearer(settings.api_token)), None, execute, held)


def check_existence(database: Database) -> None:
    if database.files and not Path(database.files[0]).exists():
        raise StartRefused(f"there is no database {database.name}")


def _answers(owner: str) -> bool:
    """Return whether `owner` is an address, and not the name of a command without HTTP."""
    return owner.startswith("http://")
