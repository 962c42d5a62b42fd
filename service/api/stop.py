"""Bound how long a send may take, and end every connection promptly when the server stops.

uvicorn runs the lifespan's shutdown only after every connection is closed, and it does not close a connection whose
reader does not read. `ConnectionMiddleware`, the outermost middleware, therefore records each connection's transport
and bounds each send. `Stop` aborts the remaining connections shortly after the stop signal.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from service.api.connections.handshakes import Turn, handshake
from service.api.connections.inbound_limit import InboundLimit

logger = logging.getLogger(__name__)

INBOUND_LIMIT = "rungraph.inbound_limit"
"""Key of a WebSocket's scope for its InboundLimit. Absent if the connection's transport is unknown."""
SEND_TIMEOUT_S = 10.0
"""How long a send may wait for the client to read before the connection is dropped."""
PIECE_BYTES = 2**16
"""Size of the pieces of a body, so that a body that nobody reads is not buffered whole."""
UNREAD_GRACE_S = 1.0
"""Time from the stop until connections with unread data are aborted."""
STOP_GRACE_S = 3.0
"""Time from the stop until all other connections are aborted."""


class Stop:
    """The event that the server is to stop, and the connections to abort then. Belongs to the loop that created it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._transports: WeakSet[asyncio.Transport] = WeakSet()

    def set(self) -> None:
        """Begin the stop. May be called from any thread and from a signal handler."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._begin)

    async def wait(self) -> None:
        await self._event.wait()

    def watch(self, transport: asyncio.Transport) -> None:
        """Abort `transport` UNREAD_GRACE_S or STOP_GRACE_S after the stop, if it is still open."""
        self._transports.add(transport)

    def _begin(self) -> None:
        if not self._event.is_set():
            self._event.set()
            self._loop.call_later(UNREAD_GRACE_S, self._abort, 1)
            self._loop.call_later(STOP_GRACE_S, self._abort, 0)

    def _abort(self, unread_bytes_min: int) -> None:
        for transport in list(self._transports):
            if transport.get_write_buffer_size() >= unread_bytes_min:
                transport.abort()


class ClientGone(OSError):
    """The client has closed the connection."""


class ReaderStuck(ClientGone):
    """A client read nothing for SEND_TIMEOUT_S. Its connection is aborted."""


class ConnectionMiddleware:
    """The middleware that bounds sends, lets Stop watch transports, limits what WebSockets receive, and answers HEAD.

    This must be the outermost middleware, because Starlette's own middleware would hide uvicorn's `send` from it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        transport = _transport_of(receive, send)
        services = getattr(scope["app"].state, "services", None)
        if transport is not None and services is not None:
            services.stop.watch(transport)
        bounded = _bounded(send, transport, is_http=scope["type"] == "http")
        if scope.get("method") == "HEAD":
            bounded = _without_body(bounded)
        # A connection that its client has closed is not an error of the server.
        with suppress(ClientGone, WebSocketDisconnect):
            if scope["type"] == "websocket":
                await self._stream(scope, receive, bounded, transport)
            else:
                await self._app(scope, receive, bounded)
        if transport is not None and transport.is_closing():
            # uvicorn logs an error if a call ends before uvicorn has noticed the closed connection.
            await asyncio.sleep(0)

    async def _stream(self, scope: Scope, receive: Receive, send: Send, transport: Any) -> None:
        """Wait for the turn of a WebSocket's handshake, then serve it. Do nothing if its client disconnects before."""
        limit = None if transport is None else InboundLimit(transport)
        if limit is not None:
            scope[INBOUND_LIMIT] = limit
        async with handshake(limit) as turn:
            if turn is not None:
                await self._app(scope, receive, _while_open(send, transport, limit, turn))


def _transport_of(receive: Receive, send: Send) -> Any:
    """Return the connection's transport, or None if neither callable is uvicorn's own.

    An application that this one is mounted in may replace uvicorn's `send` with its own.
    """
    for method in (send, receive):
        transport = getattr(getattr(method, "__self__", None), "transport", None)
        if transport is not None:
            return transport
    return None


def _while_open(send: Send, transport: Any, limit: InboundLimit | None, turn: Turn) -> Send:
    """Return a WebSocket's `send` that raises ClientGone once the connection is closing.

    A close frame or an invalid frame closes the connection before the application learns of it. uvicorn raises
    RuntimeError for a send in between. Accepting the WebSocket ends `turn` and opens `limit`.
    """

    async def send_while_open(message: Message) -> None:
        try:
            await send(message)
        except RuntimeError as error:
            if transport is not None and transport.is_closing():
                raise ClientGone from error
            raise
        if message["type"] == "websocket.accept":
            turn.end()
            if limit is not None:
                limit.open()

    return send_while_open


def _without_body(send: Send) -> Send:
    """Return a `send` that omits the body, for a HEAD request."""

    async def send_headers(message: Message) -> None:
        await send({**message, "body": b""} if message.get("body") else message)

    return send_headers


def _bounded(send: Send, transport: Any, *, is_http: bool) -> Send:
    """Return a `send` that drops a stuck reader after SEND_TIMEOUT_S and splits large bodies into pieces."""

    writable = getattr(getattr(send, "__self__", None), "writable", None)

    def may_wait() -> bool:
        """Return whether `send` may have to wait until the client reads."""
        if is_http:  # With an empty buffer, HTTP's `send` does not wait.
            return transport is None or transport.get_write_buffer_size() > 0
        # uvicorn's WebSocket waits for its event `writable`. Another implementation may have no such event.
        return not (isinstance(writable, asyncio.Event) and writable.is_set())

    async def send_in_time(message: Message) -> None:
        if transport is not None and transport.is_closing():
            raise ClientGone
        if not may_wait():
            await send(message)
            return
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await send(message)
        except TimeoutError as error:
            logger.info("dropped a reader that read nothing for %g s", SEND_TIMEOUT_S)
            if transport is not None:
                transport.abort()
            raise ReaderStuck from error

    async def send_in_pieces(message: Message) -> None:
        body = message.get("body", b"")
        if message["type"] == "http.response.body" and len(body) > PIECE_BYTES:
            last = (len(body) - 1) // PIECE_BYTES * PIECE_BYTES
            for start in range(0, last, PIECE_BYTES):
                await send_in_time({**message, "body": body[start : start + PIECE_BYTES], "more_body": True})
            message = {**message, "body": body[last:]}
        await send_in_time(message)

    return send_in_pieces
