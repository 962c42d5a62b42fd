"""uvicorn's HTTP protocol, bounded before anything that a client sends is kept.

The parser, httptools, has no bounds of its own: it keeps lines of a head without end, and puts an endless one together
anew with each piece that comes. And all of this comes before anybody is asked for a token.

`rungraph serve` uses it; `uvicorn service.main:app --http service.api.connections:HttpProtocol` does as well.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.connections.crowd import crowd_of
from service.api.responses.problems import problem

HEAD_BYTES_MAX = 2**15
URL_BYTES_MAX = 2**14
HEADERS_MAX = 128
"""Lines of a head, and of what follows a body in chunks."""
PIPELINED_MAX = 64
"""Requests ahead of their answers."""
FRAMING_BYTES_MAX = 2**16
FRAMING_RATE_MAX = 8
"""A body in chunks may have so many bytes of framing for each of its own, beside FRAMING_BYTES_MAX."""
BODY_TIMEOUT_S = 30.0
BODY_BYTES_PER_S = 500
"""A body may take BODY_TIMEOUT_S, and longer as long as so much of it comes."""
LINGER_S = 2.0
"""What comes after an answer that refuses is read and dropped for so long: a reset would take the answer along."""


class Refused(Exception):
    """What a client sends goes beyond a bound."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._crowd = crowd_of(self.server_state)
        self._is_in_head = True
        self._head_bytes = self._trailers = 0
        self._completed = 0
        """Requests whose end is in the piece that is parsed."""
        self._raw_bytes = self._body_bytes = 0
        self._body_until = self._answered_at = 0.0
        self._refusal: Refused | None = None

    # As asyncio calls it.

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._crowd.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._crowd.work(self)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        at = 0
        while at < len(data) and self._refusal is None and not self.transport.is_closing():
            # A head is fed in pieces no larger than what it may still have; a body as it comes.
            end = at + HEAD_BYTES_MAX - self._head_bytes if self._is_in_head else len(data)
            piece = data[at:end] if at or end < len(data) else data
            at = end
            try:
                self._feed(piece)
            except httptools.HttpParserUpgrade:
                self._upgrade()
                return
            except httptools.HttpParserError as error:
                self._refuse(_refusal_of(error))
            except Refused as refusal:
                self._refuse(refusal)

    def _feed(self, piece: bytes) -> None:
        self._completed = 0
        self._raw_bytes += len(piece)
        self.parser.feed_data(piece)
        if self._is_in_head:
            # Where the piece has more than this head, its share is not known, and not counted.
            self._head_bytes += 0 if self._completed else len(piece)
            if self._head_bytes >= HEAD_BYTES_MAX:
                raise Refused(431, f"the head of a request has at most {HEAD_BYTES_MAX} bytes")
        elif self._raw_bytes - self._body_bytes > FRAMING_BYTES_MAX + FRAMING_RATE_MAX * self._body_bytes:
            raise Refused(400, "the body's chunks have more framing than body")

    def _upgrade(self) -> None:
        if self._should_upgrade():
            self._crowd.work(self)
            self.handle_websocket_upgrade()
        else:
            self._unsupported_upgrade_warning()

    # As the parser calls it.

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
        # What follows a body in chunks is nobody's: the headers that the application has are those of the head.
        self._trailers += 1
        if self._trailers > HEADERS_MAX:
            raise Refused(431, f"at most {HEADERS_MAX} headers follow a body")

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= PIPELINED_MAX:
            raise Refused(429, f"at most {PIPELINED_MAX} requests are sent ahead of their answers")
        super().on_headers_complete()
        self._is_in_head = False
        self._raw_bytes = self._body_bytes = 0
        self._body_until = self.loop.time() + BODY_TIMEOUT_S
        self._crowd.work(self)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._completed += 1
        self._is_in_head = True
        self._head_bytes = self._trailers = 0
        super().on_message_complete()
        self._rest()

    # As the application's answers call it.

    def on_response_complete(self) -> None:
        # What nobody has read of its body is nobody's any more; the newest call may be one that still waits its turn.
        if self.cycle.response_complete:
            self.cycle.body = bytearray()
        self._answered_at = self.loop.time()
        super().on_response_complete()
        self._rest()

    def _rest(self) -> None:
        """Wait for the next request where all before it are answered."""
        if not self._is_in_head or self._is_answering() or self.transport.is_closing():
            return
        if self._refusal is not None:
            self._answer_refusal(self._refusal)
        else:
            self._crowd.wait(self)

    def _is_answering(self) -> bool:
        return bool(self.pipeline) or (self.cycle is not None and not self.cycle.response_complete)

    # As the crowd calls it.

    def make_room(self) -> None:
        self.transport.abort()

    def be_refused(self, connections: int) -> None:
        detail = f"{connections} connections are open, as many as this server takes; try again later"
        self.transport.write(self._answer(Refused(503, detail)))
        self.transport.close()
        self._refusal = Refused(503, detail)

    def time_out(self) -> None:
        if self._refusal is not None:
            self.transport.abort()
        elif self._head_bytes:
            self._refuse(Refused(408, "the head of the request has not come in time"))
        else:
            self.transport.close()

    def check_body(self, now: float) -> None:
        if self._is_in_head or self._refusal is not None or self.cycle is None:
            return
        if self.cycle.response_complete:
            if now > self._answered_at + LINGER_S:
                self.transport.abort()
        elif self.flow.read_paused or self.cycle.waiting_for_100_continue:
            # The application does not read on: that is not the client's time.
            self._body_until = max(self._body_until, now + BODY_TIMEOUT_S)
        elif now > self._body_until + self._body_bytes / BODY_BYTES_PER_S:
            self._refuse(Refused(408, f"the body comes too slowly: at least {BODY_BYTES_PER_S} bytes a second"))

    # Refusing

    def _refuse(self, refusal: Refused) -> None:
        """Read nothing more, and say why, once all earlier requests are answered."""
        self._refusal = refusal
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
            self.transport.write_eof()
        self._crowd.wait(self)
        self.loop.call_later(LINGER_S, self.transport.abort)

    def _answer(self, refusal: Refused) -> bytes:
        answer = problem(refusal.status, refusal.detail, headers={"Connection": "close"})
        headers = b"".join(
            b"%s: %s\r\n" % header for header in [*self.server_state.default_headers, *answer.raw_headers]
        )
        line = f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\n".encode()
        return line + headers + b"\r\n" + bytes(answer.body)


def _refusal_of(error: httptools.HttpParserError) -> Refused:
    """Why the parser stops: for a bound of ours, or because this is no HTTP."""
    cause = error.__context__
    if isinstance(cause, Refused):
        return cause
    return Refused(400, f"this is not HTTP: {cause or error}")
