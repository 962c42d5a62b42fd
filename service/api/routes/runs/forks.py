"""Forks: new runs that continue from any step of another run. The old run is only read.

The state may name files, so the old run's folder is copied before the new run is started.
"""

from __future__ import annotations

from anyio import to_thread
from fastapi import Request

from service.api.body import read_json, validate
from service.api.folders.copying import copy_folder
from service.api.folders.unfinished import unfinished
from service.api.parameters import RunId, ServicesDep, SettingsDep, new_run_id, strict_router
from service.api.responses import answers, requests
from service.api.responses.openapi import FORK_BODY, refusals
from service.api.responses.rendering import Json
from service.api.routes.runs.control import DEPTH_MAX, changes_of
from service.api.routes.runs.start import started, trace_of
from service.api.services import WRITE_WITHIN_S, Services
from service.core.errors import Conflict, Invalid, NotFound, Unavailable
from service.core.graph import Graph
from service.core.syntax.ids import parse_graph_id
from service.core.validation.spelling import closest
from service.store.commands.start import Start
from service.store.rows.records import Branch

router = strict_router(tags=["control"])


@router.post(
    "/runs/{run_id}/fork",
    status_code=202,
    response_model=answers.RunStarted,
    responses=refusals(404, 409, 413, 415),
    openapi_extra=FORK_BODY,
)
async def fork_run(run_id: RunId, request: Request, services: ServicesDep, settings: SettingsDep) -> Json:
    """Start a new run with the state of this run after a step, optionally patched. This run may have any status."""
    asked = validate(requests.ForkRequest, await read_json(request, settings.body_bytes_max, DEPTH_MAX, empty={}))
    branch = await services.store.history.branch(run_id, asked.step)
    graph = await _graph_of(services, asked, branch)
    node = await _node_of(graph, asked, branch)
    state = branch.state
    if asked.patch is not None:
        state = state.apply(changes_of(asked.patch, state, settings.state_bytes_max))
    start = Start(
        *(new_run_id(), graph.id, state, {}),
        node=node,
        forked_from=(run_id, branch.step),
        priority=branch.priority,
        trace=trace_of(request),
    )
    with unfinished(services.runs_folder, start.run_id):
        await _start(services, start, run_id)
    return started(request, start.run_id)


async def _graph_of(services: Services, asked: requests.ForkRequest, branch: Branch) -> Graph:
    try:
        graph_id = branch.graph_id if asked.graph_id is None else parse_graph_id(asked.graph_id)
        record = await services.store.graphs.get(graph_id)
    except NotFound as error:
        raise Invalid.at("/graph_id", str(error)) from error
    return Graph.load(record.definition or "")


async def _node_of(graph: Graph, asked: requests.ForkRequest, branch: Branch) -> str:
    node = branch.node if asked.node is None else asked.node
    if node is None:
        raise Invalid.at("/node", f"is required because step {branch.step} ended the run")
    if node not in graph.nodes:
        context = "" if asked.node is not None else f"is required: step {branch.step} went to {node!r:.200}, and "
        hint = await to_thread.run_sync(closest, node, graph.nodes)
        raise Invalid.at("/node", f"{context}the graph has no node {node!r:.200}{hint}")
    return node


async def _start(services: Services, start: Start, old_run_id: str) -> None:
    old, new = (services.runs_folder / run_id for run_id in (old_run_id, start.run_id))
    try:
        await to_thread.run_sync(copy_folder, old, new)
    except PermissionError as error:
        raise Conflict(f"this server may not copy {_which(error)}: {error.strerror}") from error
    except OSError as error:
        raise Unavailable(f"{_which(error)} cannot be copied: {error.strerror}") from error
    # If this raises Unavailable, the run may exist all the same, so its files are kept.
    await services.store.runs.start(start, within_s=WRITE_WITHIN_S)


def _which(error: OSError) -> str:
    """Describe the file that an error of `copy_folder` concerns."""
    return f"the run's file {error.filename!r:.200}" if error.filename else "the run's folder"
