"""A run's lines over HTTP: a page of them, live over a WebSocket, live as server-sent events.

All three have one cursor, the `seq` of the last line seen, so that a client cut off anywhere goes on there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Header, WebSocket
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketState

from service.api.connections.incoming import TOO_LARGE, TOO_MUCH, Incoming
from service.api.follow import Ending, Following, follow
from service.api.parameters import AfterSeq, Limit, Number, RunId, Served, known_query, routes
from service.api.responses import rendering, shapes
from service.api.responses.openapi import EVENTS, refusals
from service.api.responses.rendering import Json
from service.api.services import Services
from service.api.stop import INCOMING
from service.store.rows.records import LineRecord

KEEPALIVE_S = 15.0
"""A stream that is quiet for so long gets a comment, so that nothing in between takes it for dead."""

_CLOSE_CODES = {
    Ending.RUN_OVER: 1000,
    Ending.STOPPING: 1012,
    Ending.UNAVAILABLE: 1013,
    Ending.SENT_TOO_MUCH: TOO_MUCH,
    Ending.SENT_TOO_LARGE: TOO_LARGE,
}
_REASONS = {
    Ending.SENT_TOO_MUCH: "a log stream is for reading: the client sent too much",
    Ending.SENT_TOO_LARGE: "a log stream is for reading: the client sent too large a message",
}

router = routes(tags=["logs"])


@router.get("/runs/{run_id}/logs", response_model=shapes.LinePage, responses=refusals(404))
async def list_lines(run_id: RunId, services: Served, after_seq: AfterSeq = 0, limit: Limit = 1000) -> Json:
    """The lines of a run after `after_seq`."""
    lines, last_seq, _ = await services.store.logs.page(run_id, after_seq, limit)
    return Json({"items": rendering.array(map(rendering.line, lines)), "last_seq": last_seq})


@router.websocket("/ws/logs/{run_id}", dependencies=[Depends(known_query)])
async def stream_lines(socket: WebSocket, run_id: RunId, services: Served, after_seq: AfterSeq = 0) -> None:
    """Each line as one message, stored ones first, then new ones as they are committed; 1000 when all are sent."""
    await services.store.runs.get(run_id)  # NotFound, as long as the handshake can still be refused.
    await socket.accept()

    following = Following()
    incoming: Incoming | None = socket.scope.get(INCOMING)
    if incoming is not None:
        incoming.when_exceeded(
            lambda code: following.end(Ending.SENT_TOO_LARGE if code == TOO_LARGE else Ending.SENT_TOO_MUCH)
        )

    async def send(lines: Sequence[LineRecord]) -> None:
        for line in lines:
            if following.ending is not None:
                return
            await socket.send_text(rendering.line(line))

    ending = await follow(services, run_id, after_seq, following=following, left=partial(_closed, socket), deliver=send)
    # A send that has failed has closed it already.
    if ending is not Ending.CLIENT_GONE and socket.application_state is WebSocketState.CONNECTED:
        await socket.close(_CLOSE_CODES[ending], _REASONS.get(ending))


@router.get(
    "/runs/{run_id}/events",
    response_class=Response,
    responses={200: EVENTS, 204: {"description": "The run is over and fully read"}, **refusals(404)},
)
async def stream_events(
    run_id: RunId,
    services: Served,
    after_seq: AfterSeq = 0,
    last_event_id: Annotated[Number | None, Header(description="The last `id` seen; beats `after_seq`.")] = None,
) -> Response:
    """The lines of a run as server-sent events, until it is over."""
    after_seq = after_seq if last_event_id is None else last_event_id
    _, last_seq, over = await services.store.logs.page(run_id, after_seq, limit=1)
    if over and last_seq <= after_seq:
        return Response(status_code=204)
    return EventStream(services, run_id, after_seq)


class EventStream(Response):
    """The lines of a run as they come, ended as promptly as a WebSocket's."""

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

        left = partial(_disconnected, receive)
        await follow(
            self._services, self._run_id, self._after_seq, following=Following(), left=left, deliver=send_events
        )
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _event(line: LineRecord) -> str:
    return f"id: {line.seq}\ndata: {rendering.line(line)}\n\n"


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass  # The rest of a body that nobody asked for.


async def _closed(socket: WebSocket) -> None:
    message: Any = {}
    while message.get("type") != "websocket.disconnect":
        message = await socket.receive()
