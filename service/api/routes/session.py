"""Exchange the token for a cookie, for browsers."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

from fastapi import Request
from starlette.responses import Response

from service.api.access import SESSIONS, token_bytes
from service.api.body import read_json, validate
from service.api.parameters import ServicesDep, SettingsDep, strict_router
from service.api.responses import requests
from service.api.responses.openapi import SESSION_BODY, refusals
from service.api.responses.problems import problem

SESSION_BYTES_MAX = 2**13
"""The largest body of a call that begins a session. It is small because the call needs no token."""
WRONG_TOKEN_DELAY_S = 1.0
"""How long the answer to a wrong token is delayed, so that guessing is slow."""

router = strict_router(tags=["session"])


@router.post(
    "/session",
    status_code=204,
    response_class=Response,
    responses=refusals(413, 415),
    openapi_extra=SESSION_BODY,
)
async def begin_session(request: Request, services: ServicesDep, settings: SettingsDep) -> Response:
    """Exchange the server's token for a cookie. A server without a token accepts any token and sets no cookie."""
    bytes_max = min(settings.body_bytes_max, SESSION_BYTES_MAX)
    asked = validate(requests.SessionRequest, await read_json(request, bytes_max))
    if settings.api_token is None:
        return Response(status_code=204)
    token = token_bytes(settings.api_token)
    if not secrets.compare_digest(asked.token.encode(errors="surrogateescape"), token):
        with suppress(TimeoutError):
            async with asyncio.timeout(WRONG_TOKEN_DELAY_S):
                await services.stop.wait()
        return problem(401, "this is not the server's token", headers={"WWW-Authenticate": "Bearer"})
    answer = Response(status_code=204)
    request.scope[SESSIONS].begin(answer, request.scope)
    return answer


@router.delete("/session", status_code=204, response_class=Response, responses=refusals())
async def end_session(request: Request) -> Response:
    """End the session: the browser forgets the cookie, and this server accepts it no more."""
    answer = Response(status_code=204)
    if (sessions := request.scope[SESSIONS]) is not None:
        sessions.end(answer, request.scope)
    return answer
