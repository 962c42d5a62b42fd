"""The page `/docs` and the OpenAPI document that it shows. Both work without internet and under any URL prefix.

The page refers to its files by relative URLs.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from service.api.prefix import prefix
from service.api.responses import openapi
from service.api.responses.rendering import Json
from service.api.responses.texts import Text, write

_ASSETS = "docs/assets"


class _Assets(StaticFiles):
    """Serves the page's static files. Errors are answered with problem documents."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        answer = await super().get_response(path, scope)
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer


def add_docs(app: FastAPI) -> None:
    """Add `/docs`, `/openapi.json` and the page's files to `app`."""
    page = _page()
    made: dict[str, Any] = {}
    # The members of `made` as JSON. Writing them takes 30 ms, during which the server answers no other call.
    members: dict[str, Text] = {}

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return page

    @app.get("/openapi.json", include_in_schema=False)
    async def document(request: Request) -> Json:
        nonlocal made, members
        if app.openapi() is not made:
            made = app.openapi()
            members = {name: write(member) for name, member in made.items()}
        where = prefix(request.scope)
        return Json({**members, "servers": [{"url": where}]} if where else members)

    # The fastapi_offline package contains Swagger UI's files.
    app.mount(f"/{_ASSETS}", _Assets(directory=Path(fastapi_offline.__file__).parent / "static"))


def _page() -> HTMLResponse:
    page = get_swagger_ui_html(
        openapi_url="./openapi.json",
        title=openapi.TITLE,
        swagger_js_url=f"./{_ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"./{_ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"./{_ASSETS}/favicon.png",
    )
    page.headers["Content-Security-Policy"] = _policy(bytes(page.body).decode())
    page.headers["X-Content-Type-Options"] = "nosniff"
    return page


def _policy(page: str) -> str:
    """Return a Content Security Policy for the page.

    It allows files of this server, images in `data:` URLs, inline styles, and the page's inline script by its hash.
    """
    scripts = re.findall("<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = {
        "default-src": "'none'",
        "script-src": " ".join(["'self'", *(f"'sha256-{found}'" for found in hashes)]),
        # Swagger UI sets inline styles.
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in allowed.items())
