"""Log lines of a run: in pages, live over a WebSocket, and live as server-sent events.

All three use the same cursor, the `seq` of the last line seen, so that a disconnected client can continue there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Header, Query, WebSocket
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketState

from service.api.connections.inbound_limit import TOO_LARGE, TOO_MUCH, InboundLimit
from service.api.follow import Ending, Following, follow
from service.api.parameters import (
    AfterSeq,
    BeforeSeq,
    Limit,
    Number,
    RunId,
    ServicesDep,
    refuse_unknown_query,
    strict_router,
)
from service.api.responses import answers, texts
from service.api.responses.openapi import EVENTS, refusals
from service.api.responses.rendering import Json
from service.api.responses.requests import PlainText
from service.api.services import Services
from service.api.stop import INBOUND_LIMIT
from service.core.run import Level
from service.store.queries.runs.lines import LineFilter
from service.store.rows.records import LineRecord

KEEPALIVE_S = 15.0
"""After this time without a line, an event stream gets a comment, so that proxies do not close the stream."""

_CLOSE_CODES = {
    Ending.RUN_OVER: 1000,
    Ending.STOPPING: 1012,
    Ending.UNAVAILABLE: 1013,
    Ending.SENT_TOO_MUCH: TOO_MUCH,
    Ending.SENT_TOO_LARGE: TOO_LARGE,
}
_REASONS = {
    Ending.SENT_TOO_MUCH: "the client sent too much; a log stream is read-only",
    Ending.SENT_TOO_LARGE: "the client sent too large a message; a log stream is read-only",
}

router = strict_router(tags=["logs"])


@router.get("/runs/{run_id}/logs", response_model=answers.LinePage, responses=refusals(404))
async def list_lines(
    run_id: RunId,
    services: ServicesDep,
    after_seq: AfterSeq = 0,
    before_seq: BeforeSeq | None = None,
    level: Annotated[Level | None, Query(description="Only lines of this level and those above.")] = None,
    node: Annotated[PlainText | None, Query(description="Only lines of this node.")] = None,
    text: Annotated[PlainText | None, Query(description="Only lines whose message contains this text.")] = None,
    limit: Limit = 1000,
) -> Json:
    """List the lines of a run after `after_seq`, oldest first; with `before_seq`, newest first.

    A page may end early if its lines are large: continue after the `seq` of its last line.
    """
    if before_seq is None and level is None and node is None and text is None:
        lines, last_seq, _ = await services.store.logs.page(run_id, after_seq, limit)
    else:
        which = LineFilter(after_seq, before_seq, level, node, text)
        lines, last_seq = await services.store.details.lines(run_id, which, limit)
    return Json({"items": texts.array(map(texts.line, lines)), "last_seq": last_seq})


@router.websocket("/ws/logs/{run_id}", dependencies=[Depends(refuse_unknown_query)])
async def stream_lines(socket: WebSocket, run_id: RunId, services: ServicesDep, after_seq: AfterSeq = 0) -> None:
    """Send each line as one message: stored lines first, then new ones. Close with 1000 once the run is over."""
    await services.store.runs.get(run_id)  # NotFound is raised here, while the handshake can still be refused.
    await socket.accept()

    following = Following()
    limit: InboundLimit | None = socket.scope.get(INBOUND_LIMIT)
    if limit is not None:
        limit.when_exceeded(
            lambda code: following.end(Ending.SENT_TOO_LARGE if code == TOO_LARGE else Ending.SENT_TOO_MUCH)
        )

    async def send(lines: Sequence[LineRecord]) -> None:
        for line in lines:
            if following.ending is not None:
                return
            await socket.send_text(texts.line(line))

    ending = await follow(
        services,
        run_id,
        after_seq,
        following=following,
        wait_for_disconnect=partial(_wait_for_close, socket),
        deliver=send,
    )
    # A failed send has already closed the socket.
    if ending is not Ending.CLIENT_GONE and socket.application_state is WebSocketState.CONNECTED:
        await socket.close(_CLOSE_CODES[ending], _REASONS.get(ending))


@router.get(
    "/runs/{run_id}/events",
    response_class=Response,
    responses={200: EVENTS, 204: {"description": "The run is over and fully read"}, **refusals(404)},
)
async def stream_events(
    run_id: RunId,
    services: ServicesDep,
    after_seq: AfterSeq = 0,
    last_event_id: Annotated[
        Number | None, Header(description="The last `id` seen; takes precedence over `after_seq`.")
    ] = None,
) -> Response:
    """Send the lines of a run as server-sent events until the run is over."""
    after_seq = after_seq if last_event_id is None else last_event_id
    _, last_seq, over = await services.store.logs.page(run_id, after_seq, limit=1)
    if over and last_seq <= after_seq:
        return Response(status_code=204)
    return EventStream(services, run_id, after_seq)


class EventStream(Response):
    """An answer that sends the lines of a run as server-sent events."""

    media_type = "text/event-stream"

    def __init__(self, services: Services, run_id: str, after_seq: int) -> None:
        super().__init__(headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._services, self._run_id, self._after_seq = services, run_id, after_seq

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        now = asyncio.get_running_loop().time
        quiet_since = now()

        async def send_events(lines: Sequence[LineRecord]) -> None:
            nonlocal quiet_since
            if not lines and now() - quiet_since < KEEPALIVE_S:
                return
            quiet_since = now()
            text = "".join(map(_event, lines)) or ":\n\n"
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        await follow(
            self._services,
            self._run_id,
            self._after_seq,
            following=Following(),
            wait_for_disconnect=partial(_wait_for_disconnect, receive),
            deliver=send_events,
        )
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _event(line: LineRecord) -> str:
    return f"id: {line.seq}\ndata: {texts.line(line)}\n\n"


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass  # Ignore a body.


async def _wait_for_close(socket: WebSocket) -> None:
    message: Any = {}
    while message.get("type") != "websocket.disconnect":
        message = await socket.receive()
