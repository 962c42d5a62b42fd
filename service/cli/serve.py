"""The commands that serve the API, execute runs and migrate the database."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from ipaddress import ip_address

import uvicorn
from fastapi import FastAPI

from service import example, logs
from service.api.connections import backlog, raise_descriptor_limit, uvicorn_config
from service.core.errors import StartRefused
from service.main import create_app, execute
from service.process import tune_collector, url_of
from service.settings import Settings
from service.store.schema.migrate import migrate
from service.tools import registry


def serve(settings: Settings, arguments: argparse.Namespace) -> int:
    _refuse_open_address(settings)
    registry.load(settings.tools, built_in=example.TOOLS)
    database = settings.database()
    listener = _listen(settings.host, settings.port)
    address = url_of(settings.host, listener.getsockname()[1])
    owned = database.own(address)
    logs.configure(settings.log_format, settings.log_level)
    # These steps come before uvicorn starts, so that their errors are reported in one line.
    migrate(database)
    settings.make_runs_folder(database)
    app = create_app(settings, address, owned, with_engine=not arguments.no_engine, is_own_process=True)
    server = uvicorn.Server(_config(app, arguments.root_path, settings.log_level))
    tune_collector()
    # This handler serves until uvicorn installs its own. It also receives the SIGTERM that uvicorn raises again at
    # its end, so that a stop that was asked for returns 0.
    signal.signal(signal.SIGTERM, lambda *_: setattr(server, "should_exit", True))
    others = ", others execute its runs" if arguments.no_engine else ""
    print(f"Rungraph serves {address} (its calls: {address}/docs){others}, stop it with Ctrl-C", flush=True)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return 0


def _config(app: FastAPI, root_path: str, log_level: str) -> uvicorn.Config:
    raise_descriptor_limit()
    return uvicorn_config(
        app,
        log_config=None,  # uvicorn's lines go to our handler, so that all lines have one format.
        log_level=log_level,
        backlog=backlog(),
        root_path=root_path,
    )


def engine(settings: Settings, _: argparse.Namespace) -> int:
    logs.configure(settings.log_format, settings.log_level)
    address = f"engine {os.getpid()} on {socket.gethostname()}"
    what = f"Rungraph executes the runs in {settings.database().name}, stop it with Ctrl-C"
    tune_collector()
    ended_well = asyncio.run(execute(settings, address, lambda: print(what, flush=True)))
    if not ended_well:
        print("rungraph: the engine has stopped by itself; see the log", file=sys.stderr)
    return 0 if ended_well else 1


def migrate_database(settings: Settings, _: argparse.Namespace) -> int:
    logs.configure(settings.log_format, settings.log_level)
    database = settings.database()
    ownership = database.own("rungraph migrate")
    try:
        print(f"{database.name} has schema {', '.join(migrate(database))}")
    finally:
        ownership.release()
    return 0


def _refuse_open_address(settings: Settings) -> None:
    if settings.api_token or settings.allow_anonymous or settings.host == "localhost":
        return
    try:
        local = ip_address(settings.host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise StartRefused(
            f"{settings.host} can be reached from outside: set RUNGRAPH_API_TOKEN, or RUNGRAPH_ALLOW_ANONYMOUS=1"
        )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
        # Accepted connections inherit this option. asyncio sets it only on sockets made with IPPROTO_TCP, and this
        # one is not. Without the option, an answer of two packets waits 40 ms for the client's acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise StartRefused(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
