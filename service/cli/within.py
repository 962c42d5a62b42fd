"""Calls of an application within this process, without a socket and without an HTTP client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlencode

from service.client.messages import Answer, Request

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message


async def call(app: ASGIApp, request: Request, *, token: Mapping[bytes, bytes]) -> Answer:
    """Call `app` and return its whole answer. `token` is the header with the API token; it is empty without one."""
    content = request.content
    given = [(name.encode(), value.encode()) for name, value in request.headers.items()]
    length = [(b"content-length", str(len(content)).encode())] if isinstance(content, bytes) and content else []
    query = urlencode(request.params, doseq=True).encode()
    scope = _scope(request.method, request.path, query, [(b"host", b"127.0.0.1"), *length, *token.items(), *given])
    chunks, parts, status = _chunks(content), list[bytes](), 500

    async def receive() -> Message:
        chunk = await anext(chunks, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return Answer(status, b"".join(parts))


def _scope(method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query,
        "headers": headers,
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 80),
    }


async def _chunks(content: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if isinstance(content, bytes):
        yield content
    else:
        async for chunk in content:
            yield chunk
