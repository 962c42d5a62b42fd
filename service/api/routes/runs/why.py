"""Explain the position of a run."""

from __future__ import annotations

from service.api.parameters import RunId, ServicesDep, strict_router
from service.api.responses import answers
from service.api.responses.explanation import explain
from service.api.responses.openapi import refusals
from service.api.responses.rendering import Json

router = strict_router(tags=["control"])


@router.get("/runs/{run_id}/why", response_model=answers.Why, responses=refusals(404))
async def get_why(run_id: RunId, services: ServicesDep) -> Json:
    """Explain why a run is where it is, what it waits for, and what it decided last."""
    return Json(explain(await services.store.history.why(run_id)))
