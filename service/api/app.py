"""Building the application: routes, errors, and around all of it who may call and how long a send may take."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import (
    backtest,
    control,
    demo,
    errors,
    files,
    forks,
    graphs,
    health,
    later,
    logs,
    openapi,
    runs,
    signals,
    tools,
    why,
)
from service.api.access import Access
from service.api.deps import StrictRoute
from service.api.docs import add_docs
from service.api.errors import problem
from service.api.services import ApiSettings
from service.api.stop import Guard
from service.api.unknown import unknown_path

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Api(FastAPI):
    """FastAPI with our layers around it and our OpenAPI document."""

    def build_middleware_stack(self) -> ASGIApp:
        return Guard(Access(Started(super().build_middleware_stack()), self.state.settings))

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = openapi.document(self, with_token=self.state.settings.api_token is not None)
        return self.openapi_schema


class Started:
    """The innermost layer: without its lifespan the application has no store, and says so.

    Starlette runs no lifespan of an application that is mounted in another one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_served = scope["type"] == "lifespan" or hasattr(scope["app"].state, "services")
        await (self._app if is_served else problem(503, _NOT_STARTED))(scope, receive, send)


_NOT_STARTED = (
    "the application's lifespan has not run, or is over: the application that it is mounted in has to run it, with"
    " `async with app.router.lifespan_context(app)` in its own lifespan; a test uses `with TestClient(app)`"
)


def create_api(settings: ApiSettings, lifespan: Lifespan) -> FastAPI:
    """The application. `lifespan` sets `app.state.services` (a Services) before it yields."""
    app = Api(
        title=openapi.TITLE,
        lifespan=_forgetting(lifespan),
        redirect_slashes=False,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.router.default = unknown_path
    app.router.route_class = StrictRoute
    errors.install(app)
    # In this order: whatever `/graph/{graph_id}` would match too comes before it.
    for room in (runs, graphs, logs, files, control, signals, forks, why, backtest, tools, demo, health, later):
        # Not `include_router`, which looks for the route once more at each call.
        app.router.routes.extend(room.router.routes)
    add_docs(app)
    return app


def _forgetting(lifespan: Lifespan) -> Lifespan:
    """`lifespan`, whose services are nobody's any more when it is over."""

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with lifespan(app):
                yield
        finally:
            if hasattr(app.state, "services"):
                del app.state.services

    return run
