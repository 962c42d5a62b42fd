"""Build the FastAPI application from its routes, error handlers and middleware."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.access import AccessMiddleware
from service.api.large_bodies import LargeBodies
from service.api.parameters import StrictRoute
from service.api.responses import openapi, problems
from service.api.responses.large_answers import LargeAnswers
from service.api.responses.not_found import unknown_path
from service.api.responses.problems import problem
from service.api.routes import backtest, demo, graphs, health, limits, metrics, schedules, session, tools
from service.api.routes.docs import add_docs
from service.api.routes.page import add_page
from service.api.routes.runs import (
    control,
    deletion,
    deliveries,
    files,
    forks,
    keys,
    logs,
    one,
    path,
    run_list,
    signals,
    start,
    steps,
    why,
)
from service.api.services import ApiSettings
from service.api.stop import ConnectionMiddleware

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Api(FastAPI):
    """A FastAPI application with this project's middleware and OpenAPI document."""

    def build_middleware_stack(self) -> ASGIApp:
        """Put our middleware around FastAPI's own, since only the outermost one receives uvicorn's `send`."""
        app = StartedMiddleware(super().build_middleware_stack())
        return ConnectionMiddleware(AccessMiddleware(app, self.state.settings))

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = openapi.document(self, with_token=self.state.settings.api_token is not None)
        return self.openapi_schema


class StartedMiddleware:
    """The middleware that answers 503 while the application has no store: before and after its lifespan.

    Starlette does not run the lifespan of an application that is mounted in another one.
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
    "the application's lifespan has not run, or is over. The application that it is mounted in must run it: use"
    " `async with app.router.lifespan_context(app)` in that application's lifespan. A test uses `with TestClient(app)`"
)


A = TypeVar("A", bound=Api)


def create_api(settings: ApiSettings, lifespan: Lifespan) -> FastAPI:
    """Return the application. `lifespan` must set `app.state.services` to a Services before it yields."""
    return create_api_of(Api, settings, lifespan)


def create_api_of(kind: type[A], settings: ApiSettings, lifespan: Lifespan) -> A:
    """Return an application of a subclass of Api, as `create_api` does."""
    app = kind(
        title=openapi.TITLE,
        lifespan=_ending(lifespan),
        redirect_slashes=False,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.is_over = False
    app.state.large_answers = LargeAnswers()
    app.state.large_bodies = LargeBodies()
    app.router.default = unknown_path
    app.router.route_class = StrictRoute
    problems.install_handlers(app)
    for module in _MODULES:
        # `include_router` would match each call against the routes a second time.
        app.router.routes.extend(module.router.routes)
    add_docs(app)
    add_page(app)
    return app


_MODULES = (
    *(start, graphs, run_list, deletion, deliveries, one, steps, path, keys, logs, files, control, signals, forks, why),
    *(schedules, backtest, tools, limits, demo, health, metrics, session),
)


def _ending(lifespan: Lifespan) -> Lifespan:
    """Return a lifespan that runs `lifespan` and sets `app.state.is_over` at its end."""

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        app.state.is_over = False
        try:
            async with lifespan(app):
                yield
        finally:
            app.state.is_over = True

    return run
