"""Building the application: routes, errors, and around all of it who may call and how long a send may take."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.access import Access
from service.api.parameters import StrictRoute
from service.api.responses import openapi, problems
from service.api.responses.large import Large
from service.api.responses.problems import problem
from service.api.responses.unknown import unknown_path
from service.api.routes import (
    backtest,
    control,
    demo,
    files,
    forks,
    graphs,
    health,
    later,
    logs,
    runs,
    signals,
    tools,
    why,
)
from service.api.routes.docs import add_docs
from service.api.services import ApiSettings
from service.api.stop import Guard

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
        if scope["type"] != "lifespan":
            state = scope["app"].state
            if state.is_over or not hasattr(state, "services"):
                await problem(503, _NOT_STARTED)(scope, receive, send)
                return
        await self._app(scope, receive, send)


_NOT_STARTED = (
    "the application's lifespan has not run, or is over: the application that it is mounted in has to run it, with"
    " `async with app.router.lifespan_context(app)` in its own lifespan; a test uses `with TestClient(app)`"
)


def create_api(settings: ApiSettings, lifespan: Lifespan) -> FastAPI:
    """The application. `lifespan` sets `app.state.services` (a Services) before it yields."""
    app = Api(
        title=openapi.TITLE,
        lifespan=_ending(lifespan),
        redirect_slashes=False,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.is_over = False
    app.state.large = Large()
    app.router.default = unknown_path
    app.router.route_class = StrictRoute
    problems.install(app)
    # In this order: whatever `/graph/{graph_id}` would match too comes before it.
    for room in (runs, graphs, logs, files, control, signals, forks, why, backtest, tools, demo, health, later):
        # Not `include_router`, which looks for the route once more at each call.
        app.router.routes.extend(room.router.routes)
    add_docs(app)
    return app


def _ending(lifespan: Lifespan) -> Lifespan:
    """`lifespan`, after which the application serves nothing more."""

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        app.state.is_over = False
        try:
            async with lifespan(app):
                yield
        finally:
            app.state.is_over = True

    return run
