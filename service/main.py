"""The composition root: the HTTP application around a server, and an engine without HTTP.

`uvicorn service.main:app` serves; `create_app(settings)` returns the same application for programs.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Any

from fastapi import FastAPI

from service.api import ApiSettings, Lifespan, Services, Stop, create_api, sweep
from service.api.connections import raise_descriptor_limit, rate_limited_logs
from service.core.tool import Tools
from service.engine.engine import Engine
from service.process import (
    end_at_last,
    keep_stop_signals,
    on_stop_signal,
    tune_collector,
    url_of,
    url_of_uvicorn,
)
from service.server import RunningServer, engine_settings, serving
from service.settings import Settings
from service.store.database.protocol import Ownership

ALIVE_EVERY_S = 2.0
"""How often a process without HTTP looks whether its engine is still alive."""


def create_app(
    settings: Settings,
    address: str | None = None,
    owned: Ownership | None = None,
    *,
    with_engine: bool = True,
    is_own_process: bool = False,
) -> FastAPI:
    """Return the ASGI application.

    `address` is the server's URL, which is told to other processes that want to own the database. None: the URL follows
    from uvicorn's options or from the settings. `owned` is the ownership of the database if the caller has it already.
    Without an engine, other servers on the same database execute the runs. `is_own_process` says that the process does
    nothing but serve this application, so it may be ended when it can no longer serve.
    """
    lifespan = lifespan_of(settings, address, owned, with_engine=with_engine, is_own_process=is_own_process)
    return create_api(api_settings(settings), lifespan)


def lifespan_of(
    settings: Settings,
    address: str | None = None,
    owned: Ownership | None = None,
    *,
    tools: Tools | None = None,
    with_engine: bool = True,
    is_own_process: bool = False,
    ends_process: bool = True,
) -> Lifespan:
    """Return the lifespan of an application: a server that runs while the application does.

    `tools` replace those that the settings name. `ends_process` says that a stop signal ends the process in bounded
    time, whatever tools do. The other arguments are those of `create_app`.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        raise_descriptor_limit()
        where = address or url_of_uvicorn(sys.argv) or url_of(settings.host, settings.port)
        async with serving(
            settings, where, owned, tools=tools, with_engine=with_engine, is_own_process=is_own_process
        ) as server:
            await sweep(server.store, server.runs_folder)
            stop = Stop()
            app.state.server, app.state.services = server, _services_of(server, stop)
            last_resort = (end_at_last,) if ends_process else ()
            async with keep_stop_signals() if is_own_process else nullcontext():
                with on_stop_signal(server.ask_to_stop, stop.set, *last_resort), rate_limited_logs():
                    yield

    return lifespan


def _services_of(server: RunningServer, stop: Stop) -> Services:
    """Return what the routes use of `server`."""
    return Services(
        store=server.store,
        tools=server.tools,
        example=server.example,
        runs_folder=server.runs_folder,
        ready=server.unready,
        stop=stop,
        engine_metrics=tuple if server.engine is None else server.engine.metrics,
        note=server.note,
    )


async def execute(settings: Settings, address: str, started: Callable[[], None]) -> bool:
    """Run an engine without HTTP until a stop signal arrives, and call `started` once the engine runs.

    Return True after a stop signal, and False if the engine ended by itself.
    """
    async with serving(settings, address, is_own_process=True) as server:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        started()
        async with keep_stop_signals():
            while not stopped.is_set() and server.engine is not None and server.engine.is_alive():
                with suppress(TimeoutError):
                    async with asyncio.timeout(ALIVE_EVERY_S):
                        await stopped.wait()
        server.ask_to_stop()
        end_at_last()
        return stopped.is_set()


@asynccontextmanager
async def executing_family(settings: Settings, server: RunningServer, run_id: str) -> AsyncIterator[None]:
    """Within the context, run an engine for one run and its descendants in a server that has no engine.

    The engine does not claim other runs, because their tools may not be loaded here.
    """
    settings_of_engine = engine_settings(settings, server.runs_folder, server.tools)
    engine = Engine(server.store, server.tools, settings_of_engine, family=run_id)
    engine.start()
    try:
        yield
    finally:
        await engine.stop()


def api_settings(settings: Settings) -> ApiSettings:
    return ApiSettings(
        body_bytes_max=settings.body_bytes_max,
        state_bytes_max=settings.state_bytes_max,
        upload_bytes_max=settings.upload_bytes_max,
        api_token=settings.api_token,
        allow_anonymous=settings.allow_anonymous,
        webhook_hosts=settings.webhook_hosts,
        can_sign_webhooks=settings.webhook_secret is not None,
    )


def __getattr__(name: str) -> Any:
    # The application is made when uvicorn asks for it, so that importing this module reads no environment variables.
    if name == "app":
        tune_collector()
        globals()["app"] = create_app(Settings.from_environment(), is_own_process=True)
        return globals()["app"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
