"""Building the application: routes, errors, and around all of it who may call and how long a send may take."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp

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
from service.api.services import ApiSettings
from service.api.stop import Guard
from service.api.unknown import unknown_path

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

_ASSETS_URL = "/docs/assets"


class Api(FastAPI):
    """FastAPI with our layers around it and our OpenAPI document."""

    def build_middleware_stack(self) -> ASGIApp:
        return Guard(Access(super().build_middleware_stack(), self.state.settings))

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = openapi.document(self, with_token=self.state.settings.api_token is not None)
        return self.openapi_schema


def create_api(settings: ApiSettings, lifespan: Lifespan) -> FastAPI:
    """The application. `lifespan` sets `app.state.services` (a Services) before it yields."""
    app = Api(
        title=openapi.TITLE,
        lifespan=lifespan,
        redirect_slashes=False,
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
    _add_docs(app)
    return app


def _add_docs(app: FastAPI) -> None:
    """`/docs` without internet: its files come with a package."""
    static = Path(fastapi_offline.__file__).parent / "static"
    app.mount(_ASSETS_URL, StaticFiles(directory=static))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=app.openapi_url or "",
            title=openapi.TITLE,
            swagger_js_url=f"{_ASSETS_URL}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS_URL}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS_URL}/favicon.png",
        )
