"""List the steps of a run."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from service.api.parameters import AfterStep, BeforeStep, Limit, RunId, ServicesDep, strict_router
from service.api.responses import answers, rendering, texts
from service.api.responses.openapi import refusals
from service.api.responses.rendering import Json
from service.api.responses.requests import PlainText

router = strict_router(tags=["runs"])


@router.get("/runs/{run_id}/steps", response_model=answers.StepPage, responses=refusals(404))
async def list_steps(
    run_id: RunId,
    services: ServicesDep,
    after_step: AfterStep = 0,
    before_step: BeforeStep | None = None,
    node: Annotated[PlainText | None, Query(description="Only steps at this node.")] = None,
    limit: Limit = 100,
) -> Json:
    """List the committed steps: what each changed, which edge the run then took, and why.

    With `before_step` the newest come first, and `next_cursor` is the next `before_step`. A page may end early: follow
    the cursor.
    """
    if before_step is None and node is None:
        page = await services.store.history.page(run_id, after_step, limit)
    else:
        page = await services.store.details.steps(
            run_id, after_step=after_step, before_step=before_step, node=node, limit=limit
        )
    return rendering.page(map(texts.step, page.items), page.next_cursor)
