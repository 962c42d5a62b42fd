"""Delete a run, and prune runs that ended long ago. A server deletes the rows and files of deleted runs afterwards."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import Request
from starlette.responses import Response

from service.api.body import read_json, validate
from service.api.folders.deleting import prune
from service.api.parameters import RunId, ServicesDep, SettingsDep, strict_router
from service.api.responses import answers, requests
from service.api.responses.openapi import PRUNE_BODY, refusals
from service.api.responses.rendering import Json
from service.api.services import WRITE_WITHIN_S
from service.store.queries.runs.prunable import PruneRule

router = strict_router(tags=["runs"])


@router.post("/runs/prune", response_model=answers.PruneResult, responses=refusals(413, 415), openapi_extra=PRUNE_BODY)
async def prune_runs(request: Request, services: ServicesDep, settings: SettingsDep) -> Json:
    """Delete runs that ended long ago, oldest first. Repeat the call with `next_cursor` until that is null."""
    asked = validate(requests.PruneRequest, await read_json(request, settings.body_bytes_max))
    rule = PruneRule(asked.older_than_s, tuple(asked.status or ()), asked.graph, asked.keep_last)
    pruned = await prune(services.store, services.runs_folder, rule, asked.cursor, dry_run=asked.dry_run)
    return Json(asdict(pruned))


@router.delete("/runs/{run_id}", status_code=204, response_class=Response, responses=refusals(404, 409))
async def delete_run(run_id: RunId, services: ServicesDep) -> Response:
    """Delete a run that is over, and its files. Its children stay.

    A run with a fork, an unfinished child or an unfinished parent is refused.
    """
    await services.store.deletions.mark(run_id, within_s=WRITE_WITHIN_S)
    return Response(status_code=204)
