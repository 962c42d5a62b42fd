"""The application for other programs: mounted in a FastAPI application, or called by a TestClient.

Starlette does not run the lifespan of a mounted application. This application therefore starts its server at the first
call, in the event loop of that call, and stops the server when the loop ends. `EmbeddedApi.lifespan` starts the server
together with the outer application, so that unfinished runs go on before the first call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send

from service import example
from service.api import Api, create_api_of
from service.api.responses.problems import problem
from service.core.errors import RungraphError
from service.main import api_settings, lifespan_of
from service.settings import Settings
from service.tools import registry

logger = logging.getLogger(__name__)


def create_app(
    *,
    tools: Iterable[Callable[..., Any] | str] | None = None,
    database_url: str | None = None,
    data_dir: str | Path | None = None,
    api_token: str | None = None,
    allow_anonymous: bool | None = None,
    with_engine: bool = True,
    **settings: Any,
) -> EmbeddedApi:
    """Return an application that can be mounted under any prefix.

    `tools` are functions, with or without `@tool`, and names as `--tools` takes them; None means the tools that are
    declared and those of RUNGRAPH_TOOLS. The other arguments replace the settings of the environment unless they are
    None. `settings` may name any field of `service.settings.Settings`. Without an engine, other servers on the same
    database execute the runs. Raise StartRefused if a setting or a source of tools is invalid, and TypeError if a
    function cannot be a tool or a setting does not exist.
    """
    given = {
        "database_url": database_url,
        "database_url_source": None if database_url is None else "database_url",
        "data_dir": None if data_dir is None else Path(data_dir),
        "api_token": api_token,
        "allow_anonymous": allow_anonymous,
        **settings,
    }
    found = replace(Settings.from_environment(), **{name: value for name, value in given.items() if value is not None})
    collected = (
        registry.load(found.tools, built_in=example.TOOLS)
        if tools is None
        else registry.collect(tools, built_in=example.TOOLS)
    )
    found.database()  # A wrong URL is refused here and not at the first call.
    lifespan = lifespan_of(found, tools=collected, with_engine=with_engine, ends_process=False)
    return create_api_of(EmbeddedApi, replace(api_settings(found), accepts_test_client=True), lifespan)


class EmbeddedApi(Api):
    """An application that starts its server by itself."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._starting: asyncio.Future[None] | None = None
        """Done when the start that a call has begun succeeds or fails. It belongs to the loop of that call."""
        self._holder: asyncio.Task[None] | None = None
        """The task that holds the server until its loop ends."""
        self._is_held_outside = False

    @asynccontextmanager
    async def lifespan(self, _app: Any = None) -> AsyncIterator[None]:
        """Run the server during the block.

        Pass this method as the `lifespan` of the outer application, or enter it within the outer application's
        own lifespan.
        """
        self._is_held_outside = True
        async with self.router.lifespan_context(self):
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self._is_held_outside = True
        elif not self._is_held_outside:
            try:
                await self._ensure_started()
            except (RungraphError, OSError) as error:
                logger.error("the server cannot start: %s", error)
                await problem(503, f"the server cannot start: {error}")(scope, receive, send)
                return
        await super().__call__(scope, receive, send)

    async def _ensure_started(self) -> None:
        """Start the server unless it runs, and wait until it has started. Raise the error of a start that fails."""
        loop = asyncio.get_running_loop()
        starting = self._starting
        if starting is None or starting.get_loop() is not loop or self._has_failed(starting):
            self._starting = starting = loop.create_future()
            self._holder = loop.create_task(self._hold(starting), name="rungraph-server")
        if not starting.done():
            await asyncio.shield(starting)

    @staticmethod
    def _has_failed(starting: asyncio.Future[None]) -> bool:
        return starting.done() and (starting.cancelled() or starting.exception() is not None)

    async def _hold(self, starting: asyncio.Future[None]) -> None:
        """Run the server until the end of the loop cancels this task.

        Complete `starting` when the server has started or cannot start.
        """
        try:
            async with self.router.lifespan_context(self):
                starting.set_result(None)
                await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            starting.cancel()
            raise
        except BaseException as error:
            if starting.done():
                raise
            starting.set_exception(error)
