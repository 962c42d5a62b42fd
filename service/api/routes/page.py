"""Serve the web page from `service/page/`: its HTML at `/` and at every view below `/ui`, and its files below `/ui`.

The page needs no token. All URLs in the page are relative to `{{base}}`, so that the page works under any prefix.
"""

from __future__ import annotations

import html
import secrets
from pathlib import Path

from anyio import to_thread
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from service.api.access import HAS_TOKEN
from service.api.parameters import services_in
from service.core import codec
from service.core.errors import NotFound

MEDIA_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".txt": "text/plain",
}
"""Only files with these extensions are served. All other paths below `/ui` are views."""


def add_page(app: FastAPI) -> None:
    """Add the page to `app`, from the folder that the settings of `app` name."""
    files = StaticFiles(directory=app.state.settings.page_folder, check_dir=False)

    async def answer_below_ui(request: Request) -> Response:
        path: str = request.path_params["path"]
        media_type = MEDIA_TYPES.get(Path(path).suffix.lower())
        return await page_answer(request) if media_type is None else await _file(files, path, media_type, request)

    for path in ("/", "/ui"):
        app.add_route(path, page_answer, include_in_schema=False)
    app.add_route("/ui/{path:any_text}", answer_below_ui, include_in_schema=False)


async def _file(files: StaticFiles, path: str, media_type: str, request: Request) -> Response:
    try:
        answer = await files.get_response(path.lstrip("/"), request.scope)
    except (HTTPException, OSError, ValueError) as error:
        raise NotFound("file of the page", codec.printable(path[:200])) from error
    if "content-type" in answer.headers:
        answer.headers["Content-Type"] = f"{media_type}; charset=utf-8"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Cache-Control"] = "no-cache"
    return answer


async def page_answer(request: Request) -> Response:
    """Return the page's HTML with its base, a nonce for its import map, and the database's name."""
    try:
        text = await to_thread.run_sync((request.app.state.settings.page_folder / "index.html").read_text, "utf-8")
    except OSError as error:
        raise NotFound("page", request.url.path[:200]) from error
    nonce = secrets.token_urlsafe(16)
    values = {"base": _base(request.scope), "nonce": nonce, "database": _database(request)}
    for name, value in values.items():
        text = text.replace(f"{{{{{name}}}}}", html.escape(value))
    headers = {
        "Content-Security-Policy": _policy(nonce),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(text, headers=headers)


def _base(scope: Scope) -> str:
    """Return the relative URL from the requested path to the application's root."""
    root_path: str = scope.get("root_path", "").rstrip("/")
    path: str = scope.get("raw_path", b"").decode("latin-1") or scope["path"]
    depth = path.count("/") - root_path.count("/") - 1
    return "../" * depth or "./"


def _database(request: Request) -> str:
    """Return the database's name, or an empty text if the client needs the token and has not sent it."""
    return services_in(request).store.database_name if request.scope[HAS_TOKEN] else ""


def _policy(nonce: str) -> str:
    """Return a Content Security Policy for the page.

    It allows files of this server, images in `data:` and `blob:` URLs, and the inline script that has the nonce.
    """
    allowed = {
        "default-src": "'none'",
        "script-src": f"'self' 'nonce-{nonce}'",
        "style-src": "'self'",
        "img-src": "'self' data: blob:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "worker-src": "'self'",
        "base-uri": "'self'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in allowed.items())
