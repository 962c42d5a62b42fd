"""uvicorn's HTTP protocol with bounds that apply before anything from a client is kept.

The parser, httptools, has no bounds of its own. It keeps any number of header lines, and it copies an unfinished line
again with each piece that arrives. Parsing happens before the access rules apply.

`rungraph serve` uses this protocol, and so does
`uvicorn service.main:app --http service.api.connections:HttpProtocol`.

The base class is not a documented interface of uvicorn. `tests/api/test_internals.py` fails when it changes.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.connections.open_connections import connections_of
from service.api.responses.problems import phrase_of, problem

HEAD_BYTES_MAX = 2**15
URL_BYTES_MAX = 2**14
HEADERS_MAX = 128
"""The most header lines of a request, and the most trailer lines after a chunked body."""
PIPELINED_MAX = 16
"""The most requests of a connection that wait behind the one being answered. Each takes about 5 kB of memory."""
FRAMING_BYTES_MAX = 2**16
FRAMING_RATE_MAX = 8
"""A chunked body may have FRAMING_BYTES_MAX of framing, and this many bytes more for each byte of content."""
BODY_TIMEOUT_S = 30.0
BODY_BYTES_PER_S = 500
"""A body is too slow once its deadline has passed. The deadline is at first BODY_TIMEOUT_S away. Each byte defers it by
1 / BODY_BYTES_PER_S seconds, but to no later than BODY_TIMEOUT_S after the arrival of the byte."""
LINGER_S = 2.0
"""How long input is read and discarded after a refusal. Closing the connection at once would reset it, and the client
would lose the answer."""


class Refused(Exception):
    """A client exceeded a bound or sent something that is not HTTP."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class HttpProtocol(HttpToolsProtocol):
    """One HTTP connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._open_connections = connections_of(self.server_state)
        self._is_in_head = True
        self._head_bytes = self._trailers = 0
        self._completed = 0
        """Requests that ended in the piece being parsed."""
        self._raw_bytes = self._body_bytes = 0
        self._body_until = self._answered_at = 0.0
        self._refusal: Refused | None = None

    # Called by asyncio.

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._open_connections.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._open_connections.set_busy(self)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        at = 0
        while at < len(data) and self._refusal is None and not self.transport.is_closing():
            # A head is parsed in pieces no larger than its remaining allowance, a body in the pieces that arrive.
            end = at + HEAD_BYTES_MAX - self._head_bytes if self._is_in_head else len(data)
            piece = data[at:end] if at or end < len(data) else data
            at = end
            try:
                self._feed(piece)
            except httptools.HttpParserUpgrade:
                self._upgrade()
                return
            except httptools.HttpParserError as error:
                self._stop_reading(_refusal_of(error))
            except Refused as refusal:
                self._stop_reading(refusal)

    def _feed(self, piece: bytes) -> None:
        self._completed = 0
        self._raw_bytes += len(piece)
        self.parser.feed_data(piece)
        if self._is_in_head:
            # If the piece also contains the end of an earlier request, the length of the head in it is unknown.
            self._head_bytes += 0 if self._completed else len(piece)
            if self._head_bytes >= HEAD_BYTES_MAX:
                raise Refused(431, f"the head of a request has at most {HEAD_BYTES_MAX} bytes")
        elif self._raw_bytes - self._body_bytes > FRAMING_BYTES_MAX + FRAMING_RATE_MAX * self._body_bytes:
            raise Refused(400, "the chunked body has too much framing for its content")

    def _upgrade(self) -> None:
        if self._should_upgrade():
            self._open_connections.set_busy(self)
            self.handle_websocket_upgrade()
        else:
            self._unsupported_upgrade_warning()

    # The parser calls the methods below.

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > URL_BYTES_MAX:
            raise Refused(414, f"a URL has at most {URL_BYTES_MAX} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_in_head:
            if len(self.headers) >= HEADERS_MAX:
                raise Refused(431, f"a request has at most {HEADERS_MAX} headers")
            HttpToolsProtocol.on_header(self, name, value)
            return
        # Trailers after a chunked body are counted and dropped. The application has already got the request's headers.
        self._trailers += 1
        if self._trailers > HEADERS_MAX:
            raise Refused(431, f"a body is followed by at most {HEADERS_MAX} headers")

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= PIPELINED_MAX:
            raise Refused(429, f"at most {PIPELINED_MAX} requests may be sent before their answers")
        super().on_headers_complete()
        self._is_in_head = False
        self._raw_bytes = self._body_bytes = 0
        self._body_until = self.loop.time() + BODY_TIMEOUT_S
        self._open_connections.set_busy(self)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        latest = self.loop.time() + BODY_TIMEOUT_S
        self._body_until = min(latest, self._body_until + len(body) / BODY_BYTES_PER_S)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._completed += 1
        self._is_in_head = True
        self._head_bytes = self._trailers = 0
        super().on_message_complete()
        self._wait_for_request()

    # Called when an answer is complete.

    def on_response_complete(self) -> None:
        # Drop the unread rest of the answered request's body. `cycle` may be a later request that is still waiting.
        if self.cycle.response_complete:
            self.cycle.body = bytearray()
        self._answered_at = self.loop.time()
        super().on_response_complete()
        self._wait_for_request()

    def _wait_for_request(self) -> None:
        """If all requests are answered, send the pending refusal, or mark the connection idle if there is none."""
        if not self._is_in_head or self._is_answering() or self.transport.is_closing():
            return
        if self._refusal is not None:
            self._answer_refusal(self._refusal)
        else:
            self._open_connections.set_idle(self)

    def _is_answering(self) -> bool:
        return bool(self.pipeline) or (self.cycle is not None and not self.cycle.response_complete)

    # Called by OpenConnections.

    def make_room(self) -> None:
        self.transport.abort()

    def refuse(self, connections: int) -> None:
        detail = f"{connections} connections are open, the maximum of this server; try again later"
        self.transport.write(self._answer(Refused(503, detail)))
        self.transport.close()
        self._refusal = Refused(503, detail)

    def time_out(self) -> None:
        if self._refusal is not None:
            self.transport.abort()
        elif self._head_bytes:
            self._stop_reading(Refused(408, "the head of the request did not arrive in time"))
        else:
            self.transport.close()

    def check_body(self, now: float) -> None:
        if self._is_in_head or self._refusal is not None or self.cycle is None:
            return
        if self.cycle.response_complete:
            if now > self._answered_at + LINGER_S:
                self.transport.abort()
        elif self.flow.read_paused or self.cycle.waiting_for_100_continue:
            # The application is not reading, so the client is not to blame.
            self._body_until = max(self._body_until, now + BODY_TIMEOUT_S)
        elif now > self._body_until:
            detail = f"the body arrives too slowly; the minimum is {BODY_BYTES_PER_S} bytes per second"
            self._stop_reading(Refused(408, detail))

    # Refusing

    def _stop_reading(self, refusal: Refused) -> None:
        """Stop reading, and refuse the request that is being read.

        If the head of the request is incomplete, the refusal is sent once all earlier requests are answered. If its
        body is incomplete, the refusal is its answer. The connection is aborted instead if an earlier request is
        unanswered or if the answer to this request has begun.
        """
        # Keep a copy: the exception that was raised refers to its traceback, and so to all bytes that were received.
        self._refusal = Refused(refusal.status, refusal.detail)
        if self._is_in_head:
            if not self._is_answering():
                self._answer_refusal(refusal)
            return
        cycle = self.cycle
        if cycle is None or self.pipeline or cycle.response_started:
            self.transport.abort()
            return
        self._answer_refusal(refusal)
        cycle.disconnected = True
        cycle.message_event.set()

    def _answer_refusal(self, refusal: Refused) -> None:
        self._unset_keepalive_if_required()
        self.transport.write(self._answer(refusal))
        if self.transport.can_write_eof():
            with suppress(OSError):  # The client has already broken the connection.
                self.transport.write_eof()
        self._open_connections.set_idle(self)
        self.loop.call_later(LINGER_S, self.transport.abort)

    def _answer(self, refusal: Refused) -> bytes:
        answer = problem(refusal.status, refusal.detail, headers={"Connection": "close"})
        headers = b"".join(
            b"%s: %s\r\n" % header for header in [*self.server_state.default_headers, *answer.raw_headers]
        )
        line = f"HTTP/1.1 {refusal.status} {phrase_of(refusal.status)}\r\n".encode()
        return line + headers + b"\r\n" + bytes(answer.body)


def _refusal_of(error: httptools.HttpParserError) -> Refused:
    """Return why the parser stopped: a callback has raised Refused, or the input is not HTTP."""
    cause = error.__context__
    if isinstance(cause, Refused):
        return cause
    return Refused(400, f"this is not HTTP: {cause or error}")
