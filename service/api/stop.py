"""Stopping is prompt: the one place that knows every connection, and ends those that hang.

uvicorn runs the lifespan's shutdown only when every connection is closed, and it closes none whose reader
does not read. So `Guard`, the outermost layer, notes each connection's transport; nothing is ever sent
without a bound on how long its reader may take, and `Stop` aborts what is left shortly after the signal.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from service.api.connections.incoming import Incoming

logger = logging.getLogger(__name__)

INCOMING = "rungraph.incoming"
"""Of a WebSocket's scope: its Incoming, where the connection's transport is known."""
SEND_TIMEOUT_S = 10.0
"""How long a reader may take nothing before it is dropped."""
PIECE_BYTES = 2**16
"""Bodies are sent in pieces, so that one that nobody reads is not buffered whole."""
UNREAD_GRACE_S = 1.0
"""From the stop until connections are aborted whose reader does not take what was sent."""
STOP_GRACE_S = 3.0
"""From the stop until all others are."""


class Stop:
    """Set once, when the server is to stop. Belongs to the event loop in which it was made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._transports: WeakSet[asyncio.Transport] = WeakSet()

    def set(self) -> None:
        """From any thread, or from a signal handler."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._begin)

    async def wait(self) -> None:
        await self._event.wait()

    def watch(self, transport: asyncio.Transport) -> None:
        """Abort `transport` after the stop, should it still be open then."""
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
    """What was to be sent has nobody to read it any more."""


class ReaderStuck(ClientGone):
    """A client took nothing for SEND_TIMEOUT_S; its connection is aborted."""


class Guard:
    """The outermost ASGI layer. Starlette's own outermost one would hide uvicorn's `send` from it."""

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
        if scope["type"] == "websocket" and transport is not None:
            incoming = scope[INCOMING] = Incoming(transport)
            bounded = _while_open(bounded, transport, incoming)
        elif scope.get("method") == "HEAD":
            bounded = _without_body(bounded)
        # Whatever a client does to its connection is no error of the server's.
        with suppress(ClientGone, WebSocketDisconnect):
            await self._app(scope, receive, bounded)
        if transport is not None and transport.is_closing():
            # uvicorn logs an error where a call ends before it has seen its connection end.
            await asyncio.sleep(0)


def _transport_of(receive: Receive, send: Send) -> Any:
    """The connection's transport, as far as uvicorn's own callables still come through.

    An application that this one is mounted in puts a `send` of its own in place of uvicorn's.
    """
    for given in (send, receive):
        transport = getattr(getattr(given, "__self__", None), "transport", None)
        if transport is not None:
            return transport
    return None


def _while_open(send: Send, transport: asyncio.Transport, incoming: Incoming) -> Send:
    """`send` for a WebSocket; ClientGone once the connection is closing.

    A close frame, or a frame that is none, closes it before the application hears of that, and a send that comes in
    between is an error to the server.
    """

    async def send_while_open(message: Message) -> None:
        try:
            await send(message)
        except RuntimeError as error:
            if transport.is_closing():
                raise ClientGone from error
            raise
        if message["type"] == "websocket.accept":
            incoming.open()

    return send_while_open


def _without_body(send: Send) -> Send:
    """The answer to a HEAD: what GET answers, up to the body."""

    async def send_headers(message: Message) -> None:
        await send({**message, "body": b""} if message.get("body") else message)

    return send_headers


def _bounded(send: Send, transport: Any, *, is_http: bool) -> Send:
    async def send_in_time(message: Message) -> None:
        if transport is not None and transport.is_closing():
            raise ClientGone
        # Nobody waits for a reader that has taken all there was; a WebSocket's send waits for more than that.
        if is_http and transport is not None and not transport.get_write_buffer_size():
            await send(message)
            return
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await send(message)
        except TimeoutError as error:
            logger.info("dropped a reader that took nothing for %g s", SEND_TIMEOUT_S)
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
