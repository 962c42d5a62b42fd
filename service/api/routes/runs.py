"""Runs over HTTP: start one, and see where it is, how it got there and what its state was."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from pydantic import AfterValidator, Field

from service.api.body import read_json, shaped
from service.api.idempotency import key_of, keyed
from service.api.parameters import (
    AfterSeq,
    AfterStep,
    Limit,
    Number,
    RunCursor,
    RunId,
    Served,
    known_graph_id,
    new_run_id,
    routes,
    services_in,
    settings_in,
)
from service.api.prefix import prefix
from service.api.responses import rendering, shapes
from service.api.responses.openapi import RUN_BODY, refusals
from service.api.responses.rendering import Json
from service.api.services import WRITE_WITHIN_S
from service.core import codec
from service.core.errors import Invalid, StateInvalid
from service.core.state import State
from service.core.syntax.tags import tag_of
from service.core.transitions import Status
from service.store.commands.start import Start
from service.store.queries.runs import Filter

DEPTH_MAX = 1 + codec.DEPTH_MAX
"""The state, which may nest to the full depth, lies one level down in the body."""

router = routes(tags=["runs"])


def _checked_tag(text: str) -> str:
    if tag_of(text) is None:
        raise ValueError(r"a tag filter is written key:value, and a colon within the key \:")
    codec.check(text)
    return text


TagFilter = Annotated[
    str,
    AfterValidator(_checked_tag),
    Field(json_schema_extra={"pattern": "^[^\0]*:[^\0]*$"}),
    Query(
        description=r"`key:value`: the first colon ends the key. A colon in the key is written `\:`, a `\` there `\\`."
    ),
]


@router.post(
    "/graph/run",
    status_code=202,
    response_model=shapes.RunStarted,
    responses={
        200: {"model": shapes.RunStarted, "description": "This Idempotency-Key has started it before"},
        **refusals(404, 409, 413, 415),
    },
    openapi_extra=RUN_BODY,
)
async def start_run(request: Request) -> Json:
    """Start a run of a graph. Once this is answered, the run is on disk."""
    # Not as dependencies: FastAPI takes as long to solve the two as all of the below takes.
    services, settings = services_in(request), settings_in(request)
    key = key_of(request)
    asked = shaped(shapes.RunRequest, await read_json(request, settings.body_bytes_max, DEPTH_MAX))
    state = initial_state(asked.initial_state, settings.state_bytes_max)
    start = Start(new_run_id(), known_graph_id(asked.graph_id), state, asked.tags)
    run_id, is_new = await services.store.runs.start(start, keyed(key, "run", dict(asked)), within_s=WRITE_WITHIN_S)
    return started(request, run_id, 202 if is_new else 200)


@router.get("/graph/state/{run_id}", response_model=shapes.RunWithState, responses=refusals(404))
async def get_state(run_id: RunId, services: Served, after_seq: AfterSeq = 0, limit: Limit = 1000) -> Json:
    """Where a run is, with its state and its lines after `after_seq`, all of one moment."""
    return Json(rendering.run(*await services.store.runs.whole(run_id, after_seq, limit)))


@router.get("/runs", response_model=shapes.RunPage, responses=refusals(404))
async def list_runs(
    services: Served,
    status: Status | None = None,
    graph_id: str | None = None,
    tag: TagFilter | None = None,
    limit: Limit = 100,
    cursor: RunCursor | None = None,
) -> Json:
    """Runs, the newest first; each filter narrows the list."""
    wanted = None if graph_id is None else known_graph_id(graph_id)
    page = await services.store.runs.page(Filter(status, wanted, tag), limit, cursor)
    if wanted and not page.items:
        await services.store.graphs.get(wanted)  # NotFound: it has no runs because it is not there.
    return rendering.page(map(rendering.run, page.items), page.next_cursor)


@router.get("/runs/{run_id}/steps", response_model=shapes.StepPage, responses=refusals(404))
async def list_steps(run_id: RunId, services: Served, after_step: AfterStep = 0, limit: Limit = 100) -> Json:
    """The committed steps: what each changed, which edge the run then took, and why."""
    page = await services.store.history.page(run_id, after_step, limit)
    return rendering.page(map(rendering.step, page.items), page.next_cursor)


@router.get("/runs/{run_id}/state", response_model=shapes.StateAt, responses=refusals(404))
async def get_state_at(
    run_id: RunId,
    services: Served,
    step: Annotated[Number | None, Query(description="0: the initial state; left out: the last step.")] = None,
) -> Json:
    """The state as it was after a step."""
    number, state = await services.store.history.state_at(run_id, step)
    return Json({"step": number, "state": rendering.Text(state.to_text())})


def initial_state(value: shapes.JsonObject, bytes_max: int) -> State:
    """The state that a run starts with; Invalid where it is too large for one."""
    try:
        return State.of(value, bytes_max)
    except StateInvalid as error:
        raise Invalid.at("/initial_state", str(error)) from error


def started(request: Request, run_id: str, status_code: int = 202) -> Json:
    """The answer to whoever has started a run by `request`: its id, and where it is to be read."""
    return Json({"run_id": run_id}, status_code, {"Location": f"{prefix(request.scope)}/graph/state/{run_id}"})
