"""Liveness and readiness probes."""

from __future__ import annotations

from starlette.responses import Response

from service.api.parameters import ServicesDep, strict_router
from service.api.responses import answers
from service.api.responses.openapi import refusals
from service.api.responses.problems import problem
from service.api.responses.rendering import Json

router = strict_router(tags=["health"])


@router.get("/livez", response_model=answers.Health, responses=refusals(with_401=False))
async def livez() -> Json:
    """Answer while the process serves."""
    return Json({"status": "ok"})


@router.get("/readyz", response_model=answers.Health, responses=refusals())
async def readyz(services: ServicesDep) -> Response:
    """Answer 200 if the server can accept work, otherwise 503 with the reason."""
    if (reason := await services.ready()) is not None:
        return problem(503, reason)
    note = services.note()
    return Json({"status": "ok"} if note is None else {"status": "ok", "note": note})
