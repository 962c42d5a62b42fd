"""Whether this server lives, and whether it can take work."""

from __future__ import annotations

from starlette.responses import Response

from service.api.parameters import Served, routes
from service.api.responses import shapes
from service.api.responses.openapi import refusals
from service.api.responses.problems import problem
from service.api.responses.rendering import Json

router = routes(tags=["health"])


@router.get("/livez", response_model=shapes.Health, responses=refusals(with_401=False))
async def livez() -> Json:
    """The server answers."""
    return Json({"status": "ok"})


@router.get("/readyz", response_model=shapes.Health, responses=refusals())
async def readyz(services: Served) -> Response:
    """The server can take work; if not, why."""
    reason = await services.ready()
    return Json({"status": "ok"}) if reason is None else problem(503, reason)
