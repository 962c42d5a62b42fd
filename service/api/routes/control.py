"""Moving a run by hand: cancel, pause, resume. Once answered, each is on disk; the engine finds it there."""

from __future__ import annotations

from functools import partial

from fastapi import Request

from service.api.body import read_json, shaped
from service.api.parameters import RunId, Served, Settings, routes
from service.api.responses import shapes
from service.api.responses.openapi import RESUME_BODY, refusals
from service.api.responses.rendering import Json
from service.api.services import WRITE_WITHIN_S, ApiSettings
from service.core import codec
from service.core.errors import Invalid, StateInvalid
from service.core.state import Changes, State
from service.core.syntax.patch import merged
from service.core.transitions import Status

DEPTH_MAX = 1 + codec.DEPTH_MAX
"""The patch, which may nest as deep as a state, lies one level down in the body."""

router = routes(tags=["control"])


@router.post(
    "/runs/{run_id}/cancel",
    status_code=202,
    response_model=shapes.RunStatus,
    responses=refusals(404, 409, 413, 415),
)
async def cancel_run(run_id: RunId, request: Request, services: Served, settings: Settings) -> Json:
    """End a run for good, and its children with it, whatever their tools are doing."""
    await _read_nothing(request, settings)
    await services.store.control.cancel(run_id, within_s=WRITE_WITHIN_S)
    return _moved(run_id, Status.CANCELLED)


@router.post(
    "/runs/{run_id}/pause",
    status_code=202,
    response_model=shapes.RunStatus,
    responses=refusals(404, 409, 413, 415),
)
async def pause_run(run_id: RunId, request: Request, services: Served, settings: Settings) -> Json:
    """Let a run rest: at once, or where it is `running` still, at its next step boundary."""
    await _read_nothing(request, settings)
    return _moved(run_id, await services.store.control.pause(run_id, within_s=WRITE_WITHIN_S))


@router.post(
    "/runs/{run_id}/resume",
    status_code=202,
    response_model=shapes.RunStatus,
    responses=refusals(404, 409, 413, 415),
    openapi_extra=RESUME_BODY,
)
async def resume_run(run_id: RunId, request: Request, services: Served, settings: Settings) -> Json:
    """Let a paused run go on, or a failed one try again the node it failed at."""
    asked = shaped(shapes.ResumeRequest, await read_json(request, settings.body_bytes_max, DEPTH_MAX, empty={}))
    patch = None
    if asked.patch is not None:
        patch = partial(changes_of, asked.patch, bytes_max=settings.state_bytes_max)
    status = await services.store.control.resume(run_id, patch, asked.max_steps, within_s=WRITE_WITHIN_S)
    return _moved(run_id, status)


def changes_of(patch: shapes.JsonObject, state: State, bytes_max: int) -> Changes:
    """What `patch` makes of `state`; Invalid where that is no state, or a larger one than may be."""
    before = state.to_object()
    try:
        return state.changes_to(merged(before, patch), before, bytes_max)
    except StateInvalid as error:
        raise Invalid.at("/patch", str(error)) from error


async def _read_nothing(request: Request, settings: ApiSettings) -> None:
    shaped(shapes.EmptyRequest, await read_json(request, settings.body_bytes_max, empty={}))


def _moved(run_id: str, status: str) -> Json:
    return Json({"run_id": run_id, "status": status}, 202)
