"""Read one run: its status and state, now or after a step."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request

from service.api.parameters import AfterSeq, Limit, Number, RunId, ServicesDep, strict_router
from service.api.prefix import prefix
from service.api.responses import answers, rendering, texts
from service.api.responses.openapi import refusals
from service.api.responses.rendering import Json
from service.api.responses.texts import Text

router = strict_router(tags=["runs"])


@router.get("/graph/state/{run_id}", response_model=answers.RunWithState, responses=refusals(404))
async def get_state(
    run_id: RunId, request: Request, services: ServicesDep, after_seq: AfterSeq = 0, limit: Limit = 1000
) -> Json:
    """Return a run with its state and its lines after `after_seq`, in one consistent snapshot."""
    run, state, lines = await services.store.runs.whole(run_id, after_seq, limit)
    return await rendering.with_state(request, state, lambda: texts.run(run, state, lines))


@router.get("/runs/{run_id}", response_model=answers.OneRun, responses=refusals(404))
async def get_run(run_id: RunId, request: Request, services: ServicesDep) -> Json:
    """Return a run with its state, the name of its graph, what it waits for, and links to further calls."""
    listed, state = await services.store.runs.listed(run_id)
    links = _links(prefix(request.scope), run_id, listed.graph_id)
    return await rendering.with_state(request, state, lambda: texts.one_run(listed, state, links))


@router.get("/runs/{run_id}/state", response_model=answers.StateAt, responses=refusals(404))
async def get_state_at(
    run_id: RunId,
    request: Request,
    services: ServicesDep,
    step: Annotated[Number | None, Query(description="0 for the initial state; the last step if omitted.")] = None,
) -> Json:
    """Return the state as it was after a step."""
    number, state = await services.store.history.state_at(run_id, step)
    return await rendering.with_state(request, state, lambda: {"step": number, "state": Text(state.to_text())})


def _links(root: str, run_id: str, graph_id: str) -> dict[str, str]:
    run = f"{root}/runs/{run_id}"
    below = ("steps", "path", "keys", "logs", "events", "files", "signals", "why")
    return {
        "self": run,
        "graph": f"{root}/graph/{graph_id}",
        "state": f"{root}/graph/state/{run_id}",
        **{name: f"{run}/{name}" for name in below},
        "page": f"{root}/ui/runs/{run_id}",
    }
