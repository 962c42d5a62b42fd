"""Run a server in the tests of a program: on a free port, with a temporary database and the tools of the test."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from service.api.connections import uvicorn_config
from service.client import Client
from service.core.errors import StartRefused
from service.embedding import create_app

START_S = 60.0
"""How long a start may take."""


@dataclass(frozen=True)
class LocalServer:
    """A server within this process."""

    url: str
    client: Client
    folder: Path
    """Contains the database and the files of runs."""


@contextmanager
def server(
    folder: str | Path | None = None, *, tools: Iterable[Callable[..., Any] | str] | None = None, **settings: Any
) -> Iterator[LocalServer]:
    """Serve on a free port over a database in `folder`, or in a temporary folder that is removed at the end.

    `tools` and `settings` are those of `rungraph.create_app`. Raise StartRefused if the server cannot start.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="rungraph-") as made, server(made, tools=tools, **settings) as found:
            yield found
        return
    place = Path(folder).absolute()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        given = {"database_url": f"sqlite:///{place / 'rungraph.db'}", "data_dir": place, "port": port, **settings}
        url = f"http://127.0.0.1:{port}"
        with (
            _serving(create_app(tools=tools, **given), listener),
            Client(url, token=settings.get("api_token")) as client,
        ):
            yield LocalServer(url, client, place)


@pytest.fixture
def rungraph_server(tmp_path: Path) -> Iterator[LocalServer]:
    """A server over a temporary database, with all tools that are declared with `@tool`."""
    with server(tmp_path) as found:
        yield found


@contextmanager
def _serving(app: Any, listener: socket.socket) -> Iterator[None]:
    """Run `app` in a thread while the context is entered."""
    started = threading.Event()

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

    running = Announcing(uvicorn_config(app, log_level="warning", lifespan="on", timeout_keep_alive=1))

    def run() -> None:
        with suppress(SystemExit):  # uvicorn raises it if the start fails.
            running.run(sockets=[listener])
        started.set()

    thread = threading.Thread(target=run, name="rungraph-test-server")
    thread.start()
    try:
        if not started.wait(START_S) or not running.started:
            raise StartRefused("the server could not start; see the log")
        yield
    finally:
        services = getattr(app.state, "services", None)
        if services is not None:
            services.stop.set()  # Without this, uvicorn would wait for open streams of logs.
        running.should_exit = True
        thread.join()
