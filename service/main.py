"""The composition root: what a server is made of, in the order in which it starts and stops.

`uvicorn service.main:app` serves; `create_app(settings)` is the same for programs.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import logging
import os
import signal
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI

from service import example
from service.api import ApiSettings, Example, Services, Stop, create_api, sweep
from service.api.connections import raise_descriptor_limit, sparing_logs
from service.core.errors import StartRefused, Unavailable
from service.core.tool import Tool, Tools
from service.core.validation import read_graph
from service.engine import Engine, EngineSettings
from service.engine.guard import forks
from service.engine.guard.watchdog import ListenCheck, LoopCheck, Watchdog, WorkCheck, end_process, report_trouble
from service.settings import Settings
from service.store import Store
from service.store.database.opening import database_at
from service.store.database.protocol import Database, Ownership
from service.store.schema.migrate import migrate
from service.tools import registry

logger = logging.getLogger(__name__)

PROBE_S = 2.0
"""How long readiness waits for each of the things that it asks."""
LAST_RESORT_S = 14.0
"""After so long a stop that has not ended is ended: everything acknowledged is on disk."""


@dataclass(frozen=True, slots=True)
class Server:
    """What runs between a server's start and its stop."""

    store: Store
    engine: Engine | None
    """None where others execute the runs."""
    tools: Tools
    example: Example
    runs_folder: Path

    async def unready(self) -> str | None:
        """Return why this server is not ready, or None if it is ready. The answer comes within PROBE_S."""
        if self.engine is not None and not self.engine.is_alive():
            return "the engine has stopped"
        asked = [
            _fault("writing", self.store.servers.probe(within_s=PROBE_S)),
            _fault("reading", self.store.probe_reading()),
        ]
        if self.engine is not None:
            asked.append(_fault("the engine, whose loop something may hold up", self.engine.answer()))
        return "; ".join(filter(None, await asyncio.gather(*asked))) or None

    def ask_to_stop(self) -> None:
        if self.engine is not None:
            self.engine.ask_to_stop()


async def _fault(of: str, asking: Coroutine[Any, Any, None]) -> str | None:
    """What is wrong where `asking` finds something, or does not end in time."""
    try:
        async with asyncio.timeout(PROBE_S):
            await asking
    except TimeoutError:
        return f"{of}: no answer within {PROBE_S:g} s"
    except Unavailable as error:
        return f"{of}: {error}"
    except Exception:
        logger.exception("readiness could not be asked for: %s", of)
        return f"{of}: a fault of the server's; its log says more"
    return None


@asynccontextmanager
async def serving(
    settings: Settings,
    address: str,
    owned: Ownership | None = None,
    *,
    with_engine: bool = True,
    is_own_process: bool = False,
) -> AsyncIterator[Server]:
    """A running server without its HTTP: owns the database, migrates it, executes runs if it has an engine.

    One that cannot do its work any more ends the process if that is its own, and only says so otherwise.
    StartRefused where a setting, a tool file or another owner forbids it.
    """
    tools = registry.load(settings.tools, built_in=example.TOOLS)
    for source in tools.sources:
        if not source.tools:
            logger.warning("%s registers no tool: is @tool missing?", source.name)
    database = database_of(settings)
    ownership = owned or database.own(address)
    watchdog = Watchdog(end_process if is_own_process else report_trouble)
    try:
        migrate(database)
        runs_folder = folder_of_runs(settings, database)
        make_folder(runs_folder)
        store = Store(database, server_id=str(uuid.uuid4()), address=address, lease_s=settings.lease_seconds)
        engine = Engine(store, tools, engine_settings(settings, runs_folder, tools)) if with_engine else None
        store.open()
        forks.keep_from_children(database.files)
        try:
            if engine is not None:
                engine.start()
            watch(watchdog, store, engine, address)
            try:
                yield Server(store, engine, tools, built_in_example(tools), runs_folder)
            finally:
                watchdog.expect_the_end()
                if engine is not None:
                    await engine.stop()
        finally:
            await store.close()
    finally:
        watchdog.stop()
        ownership.release()


def watch(watchdog: Watchdog, store: Store, engine: Engine | None, address: str) -> None:
    """See to it that a tool has left something with which this server can work; on the loop that serves."""
    loop = asyncio.get_running_loop()
    watchdog.add("the loop that answers does not move", LoopCheck(loop))
    watchdog.add("it cannot ask its database", WorkCheck(loop, store.works))
    if (port := urlsplit(address).port) is not None:
        watchdog.add(f"nobody listens on port {port}", ListenCheck(port), once_well=True)
    if engine is not None:
        engine.watch(watchdog)
    watchdog.start()


def database_of(settings: Settings) -> Database:
    return database_at(
        settings.database_url, allow_undurable=settings.allow_undurable, source=settings.database_url_source
    )


def engine_settings(settings: Settings, runs_folder: Path, tools: Tools) -> EngineSettings:
    return EngineSettings(
        runs_folder=runs_folder,
        active_runs_max=settings.max_active_runs,
        tool_threads_max=settings.tool_threads,
        state_bytes_max=settings.state_bytes_max,
        lease_s=settings.lease_seconds,
        # -P: modules are found where this process finds them, and not in the working directory before all else.
        isolated_command=(sys.executable, "-P", "-m", "service", "isolated"),
        isolated_tools=partial(registry.snapshot, tools),
    )


def folder_of_runs(settings: Settings, database: Database) -> Path:
    """Where runs keep their files: one folder each, below the data directory."""
    data_dir = settings.data_dir or database.data_folder
    return data_dir.absolute() / "runs"


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartRefused(f"cannot make {folder}, where runs leave their files: {error.strerror}") from error


def built_in_example(tools: Mapping[str, Tool]) -> Example:
    return Example(
        graph=read_graph(example.GRAPH, tools),
        datasets=example.DATASETS,
        initial_state=example.initial_state,
        faults=example.faults,
    )


def create_app(
    settings: Settings,
    address: str | None = None,
    owned: Ownership | None = None,
    *,
    with_engine: bool = True,
    is_own_process: bool = False,
) -> FastAPI:
    """The ASGI application; it serves at `address`, which others are told who find the database owned.

    `owned` is the database's ownership where the caller has taken it already. Without an engine, its runs are
    executed by other servers on the same database. `is_own_process`: the process does nothing but serve it, and may
    be ended when it cannot do that any more.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        raise_descriptor_limit()
        where = address or address_of(settings, sys.argv)
        async with serving(settings, where, owned, with_engine=with_engine, is_own_process=is_own_process) as server:
            await sweep(server.store, server.runs_folder)
            stop = Stop()
            app.state.server = server
            app.state.services = Services(
                store=server.store,
                tools=server.tools,
                example=server.example,
                runs_folder=server.runs_folder,
                ready=server.unready,
                stop=stop,
            )
            with on_stop_signal(server.ask_to_stop, stop.set, _end_at_last), sparing_logs():
                yield

    return create_api(
        ApiSettings(
            body_bytes_max=settings.body_bytes_max,
            state_bytes_max=settings.state_bytes_max,
            upload_bytes_max=settings.upload_bytes_max,
            api_token=settings.api_token,
            allow_anonymous=settings.allow_anonymous,
        ),
        lifespan,
    )


@asynccontextmanager
async def executing_family(settings: Settings, server: Server, run_id: str) -> AsyncIterator[None]:
    """An engine for a run and its descendants, of a server that has none.

    Whatever else waits is for servers that have its tools.
    """
    settings_of_engine = engine_settings(settings, server.runs_folder, server.tools)
    engine = Engine(server.store, server.tools, settings_of_engine, family=run_id)
    engine.start()
    try:
        yield
    finally:
        await engine.stop()


async def execute(settings: Settings, address: str, started: Callable[[], None]) -> bool:
    """An engine without HTTP, from `started` until a stop signal; False where the engine ended by itself."""
    async with serving(settings, address, is_own_process=True) as server:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        started()
        while not stopped.is_set() and server.engine is not None and server.engine.is_alive():
            with suppress(TimeoutError):
                async with asyncio.timeout(PROBE_S):
                    await stopped.wait()
        server.ask_to_stop()
        _end_at_last()
        return stopped.is_set()


def address_of(settings: Settings, argv: list[str]) -> str:
    """Where this process can be reached, as far as it knows: uvicorn's options, else the settings."""
    given = {"host": settings.host, "port": str(settings.port)}
    if argv and "uvicorn" in argv[0]:
        given = {name: os.environ.get(f"UVICORN_{name.upper()}", default) for name, default in _UVICORN.items()}
        for name in given:
            for index, argument in enumerate(argv):
                if argument == f"--{name}" and index + 1 < len(argv):
                    given[name] = argv[index + 1]
                elif argument.startswith(f"--{name}="):
                    given[name] = argument.partition("=")[2]
    return url_of(given["host"], given["port"])


_UVICORN = {"host": "127.0.0.1", "port": "8000"}


def url_of(host: str, port: int | str) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def on_stop_signal(*actions: Callable[[], None]) -> Iterator[None]:
    """Act on the signal itself: uvicorn ends the lifespan only when every connection is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: FrameType | None) -> None:
        for action in actions:
            action()
        following: Any = before[signal.Signals(number)]
        if callable(following):
            following(number, frame)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, handler)


def _end_at_last() -> None:
    """Whatever a tool does with threads of its own, the process ends: nothing is lost by it."""
    timer = threading.Timer(LAST_RESORT_S, os._exit, (0,))
    timer.daemon = True
    timer.start()


def spare_collector() -> None:
    """Keep what is there by now out of Python's cyclic collections, for it stays as long as the process does.

    Modules are most of its objects: each full collection would walk through them all, and all calls would wait.
    """
    gc.collect()
    gc.freeze()
    # Or extension modules find what is left of them at the exit, and report_trouble so on stderr.
    atexit.register(gc.unfreeze)


def __getattr__(name: str) -> Any:
    # Made when uvicorn asks for it, so that programs which import this module need no environment.
    if name == "app":
        spare_collector()
        globals()["app"] = create_app(Settings.from_environment(), is_own_process=True)
        return globals()["app"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
