"""Cancel, pause and resume a run. Once a call is answered, its effect is on disk, where the engine finds it."""

from __future__ import annotations

from functools import partial

from fastapi import Request

from service.api.body import read_json, validate
from service.api.parameters import RunId, ServicesDep, SettingsDep, strict_router
from service.api.responses import answers, requests
from service.api.responses.openapi import RESUME_BODY, refusals
from service.api.responses.rendering import Json
from service.api.services import WRITE_WITHIN_S, ApiSettings
from service.core import codec
from service.core.errors import Invalid, StateInvalid
from service.core.state import Changes, State
from service.core.syntax.patch import merged
from service.core.transitions import Status

DEPTH_MAX = 1 + codec.DEPTH_MAX
"""How deep a body may nest. A patch may nest as deep as a state, and is one level down in the body."""

router = strict_router(tags=["control"])


@router.post(
    "/runs/{run_id}/cancel",
    status_code=202,
    response_model=answers.RunStatus,
    responses=refusals(404, 409, 413, 415),
)
async def cancel_run(run_id: RunId, request: Request, services: ServicesDep, settings: SettingsDep) -> Json:
    """Cancel a run and its unfinished descendants at once, even while their tools are running."""
    await _read_empty_body(request, settings)
    await services.store.control.cancel(run_id, within_s=WRITE_WITHIN_S)
    return _status_answer(run_id, Status.CANCELLED)


@router.post(
    "/runs/{run_id}/pause",
    status_code=202,
    response_model=answers.RunStatus,
    responses=refusals(404, 409, 413, 415),
)
async def pause_run(run_id: RunId, request: Request, services: ServicesDep, settings: SettingsDep) -> Json:
    """Pause a run. A `running` run pauses at its next step boundary, any other at once."""
    await _read_empty_body(request, settings)
    return _status_answer(run_id, await services.store.control.pause(run_id, within_s=WRITE_WITHIN_S))


@router.post(
    "/runs/{run_id}/resume",
    status_code=202,
    response_model=answers.RunStatus,
    responses=refusals(404, 409, 413, 415),
    openapi_extra=RESUME_BODY,
)
async def resume_run(run_id: RunId, request: Request, services: ServicesDep, settings: SettingsDep) -> Json:
    """Resume a paused run, or let a failed run retry the node at which it failed."""
    asked = validate(requests.ResumeRequest, await read_json(request, settings.body_bytes_max, DEPTH_MAX, empty={}))
    patch = None
    if asked.patch is not None:
        patch = partial(changes_of, asked.patch, bytes_max=settings.state_bytes_max)
    status = await services.store.control.resume(run_id, patch, asked.max_steps, within_s=WRITE_WITHIN_S)
    return _status_answer(run_id, status)


def changes_of(patch: requests.JsonObject, state: State, bytes_max: int) -> Changes:
    """Return what `patch` changes in `state`. Raise Invalid if the result is not a state or is too large."""
    before = state.to_object()
    try:
        return state.changes_to(merged(before, patch), before, bytes_max)
    except StateInvalid as error:
        raise Invalid.at("/patch", str(error)) from error


async def _read_empty_body(request: Request, settings: ApiSettings) -> None:
    validate(requests.EmptyRequest, await read_json(request, settings.body_bytes_max, empty={}))


def _status_answer(run_id: str, status: str) -> Json:
    return Json({"run_id": run_id, "status": status}, 202)
