"""JSON responses, with the texts that `texts` writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.responses import texts
from service.api.responses.large_answers import LARGE_BYTES_MIN, LargeAnswers
from service.api.responses.problems import RETRY_AFTER_S, problem
from service.api.responses.texts import write
from service.core.state import State
from service.store.queries.whole_states import KEYS_ON_LOOP_MAX


class Json(Response):
    """A JSON answer written by core's encoder, which keeps integers of any size and floats exact.

    503 is sent in place of a large answer for which `LargeAnswers` has no room.
    """

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return write(content).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self.body) < LARGE_BYTES_MIN:
            await super().__call__(scope, receive, send)
            return
        large: LargeAnswers = scope["app"].state.large_answers
        with large.hold(len(self.body)) as has_room:
            if has_room:
                await super().__call__(scope, receive, send)
            else:
                await _crowded()(scope, receive, send)


def _crowded() -> Response:
    detail = "the memory for large answers is used up by slow readers; try again"
    return problem(503, detail, headers={"Retry-After": str(RETRY_AFTER_S)})


async def with_state(request: Request, state: State, write_answer: Callable[[], Any]) -> Json:
    """Return the answer that `write_answer` writes. If `state` has many keys, call `write_answer` on a thread."""
    if len(state.entries) <= KEYS_ON_LOOP_MAX:
        return Json(write_answer())
    large: LargeAnswers = request.app.state.large_answers
    return await to_thread.run_sync(lambda: Json(write_answer()), limiter=large.writers)


def page(items: Iterable[str], next_cursor: str | int | None) -> Json:
    return Json(texts.page(items, next_cursor))
