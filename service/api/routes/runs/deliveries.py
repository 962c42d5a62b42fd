"""List the webhooks of a run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import Query

from service.api.parameters import Limit, Number, RunId, ServicesDep, strict_router
from service.api.responses import operations, rendering, texts
from service.api.responses.openapi import refusals
from service.api.responses.rendering import Json
from service.core.operations.webhooks import message_id

router = strict_router(tags=["runs"])


@router.get("/runs/{run_id}/deliveries", response_model=operations.DeliveryPage, responses=refusals(404))
async def list_deliveries(
    run_id: RunId,
    services: ServicesDep,
    after: Annotated[Number, Query(description="Return deliveries with a higher number.")] = 0,
    limit: Limit = 100,
) -> Json:
    """List the deliveries to the run's `notify` URL in the order of their events, including those not sent yet."""
    page = await services.store.deliveries.page(run_id, after, limit)
    items = ({"webhook_id": message_id(run_id, record.number), **asdict(record)} for record in page.items)
    return rendering.page(map(texts.write, items), page.next_cursor)
