"""Serve metrics for Prometheus."""

from __future__ import annotations

from starlette.responses import Response

from service.api.parameters import ServicesDep, strict_router
from service.api.responses.exposition import CONTENT_TYPE, exposition
from service.api.responses.openapi import METRICS, refusals

router = strict_router(tags=["health"])


@router.get("/metrics", response_class=Response, responses={200: METRICS, **refusals()})
async def get_metrics(services: ServicesDep) -> Response:
    """Return the metrics of this server and of its database, in Prometheus's text format."""
    found = [*await services.store.metrics(), *services.engine_metrics()]
    return Response(exposition(found), headers={"Content-Type": CONTENT_TYPE})
