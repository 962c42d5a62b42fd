"""List runs, count them by status, and cancel, pause or resume those that match a filter."""

from __future__ import annotations

import asyncio

from fastapi import Request

from service.api.body import read_json, validate
from service.api.filters.reading import FilterDep, check_ids, filter_of_where
from service.api.parameters import Limit, RunCursor, ServicesDep, SettingsDep, strict_router
from service.api.responses import answers, rendering, requests, texts
from service.api.responses.openapi import ACTION_BODY, refusals
from service.api.responses.rendering import Json
from service.api.services import WRITE_WITHIN_S, Services
from service.core.errors import Conflict, NotFound
from service.store.queries.runs.listing import COUNTED_MAX

ACTIONS_AT_ONCE = 50
"""How many runs one call changes at a time. With more, other calls would be kept waiting."""

router = strict_router(tags=["runs"])


@router.get("/runs", response_model=answers.RunPage, responses=refusals(404))
async def list_runs(
    services: ServicesDep, which: FilterDep, limit: Limit = 100, cursor: RunCursor | None = None
) -> Json:
    """List runs, newest first. A run is listed if all filters match. A page may end early: follow the cursor."""
    page = await services.store.runs.page(which, limit, cursor)
    if not page.items:
        await check_ids(services, which)
    return rendering.page(map(texts.listed_run, page.items), page.next_cursor)


@router.get("/runs/counts", response_model=answers.RunCounts, responses=refusals(404))
async def count_runs(services: ServicesDep, which: FilterDep) -> Json:
    """Count the runs that match, by status. No count goes beyond `capped_at`."""
    counts = await services.store.runs.counts(which)
    if not any(counts.values()):
        await check_ids(services, which)
    return Json({"counts": counts, "capped_at": COUNTED_MAX})


@router.post(
    "/runs/actions",
    response_model=answers.RunActionResult,
    responses=refusals(404, 413, 415),
    openapi_extra=ACTION_BODY,
)
async def act_on_runs(request: Request, services: ServicesDep, settings: SettingsDep) -> Json:
    """Cancel, pause or resume the runs that match, oldest first.

    The filter is required. Each run is changed in a transaction of its own. A run whose status does not allow the
    action is reported under `refused`.
    """
    asked = validate(requests.RunActionRequest, await read_json(request, settings.body_bytes_max))
    which = filter_of_where(asked.where)
    found = await services.store.runs.oldest(which, asked.limit + 1)
    if not found:
        await check_ids(services, which)
    run_ids = found[: asked.limit]
    refused: list[tuple[str, str]] = []
    if not asked.dry_run:
        for first in range(0, len(run_ids), ACTIONS_AT_ONCE):
            some = run_ids[first : first + ACTIONS_AT_ONCE]
            reasons = await asyncio.gather(*(_act(services, asked.action, run_id) for run_id in some))
            refused += [(run_id, reason) for run_id, reason in zip(some, reasons, strict=True) if reason is not None]
    return Json(
        {
            "matched": len(run_ids),
            "done": 0 if asked.dry_run else len(run_ids) - len(refused),
            "refused": [{"run_id": run_id, "reason": reason} for run_id, reason in refused],
            "more": len(found) > len(run_ids),
        }
    )


async def _act(services: Services, action: str, run_id: str) -> str | None:
    """Apply the action to one run. Return why it was refused, or None if it was applied."""
    control = services.store.control
    try:
        match action:
            case "cancel":
                await control.cancel(run_id, within_s=WRITE_WITHIN_S)
            case "pause":
                await control.pause(run_id, within_s=WRITE_WITHIN_S)
            case _:
                await control.resume(run_id, within_s=WRITE_WITHIN_S)
    except (Conflict, NotFound) as refusal:
        return str(refusal)
    return None
