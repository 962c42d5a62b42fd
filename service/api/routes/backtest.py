"""Backtests: where the edges of a graph would have led the stored runs of another graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from fastapi import Request

from service.api.body import read_json, validate
from service.api.parameters import GraphId, ServicesDep, SettingsDep, strict_router
from service.api.responses import answers, requests
from service.api.responses.openapi import BACKTEST_BODY, refusals
from service.api.responses.rendering import Json
from service.api.services import Services
from service.core.errors import Invalid
from service.core.graph import Graph
from service.core.syntax.ids import parse_graph_id, parse_run_id
from service.core.transitions import Status
from service.store.queries.runs.filter import RunFilter
from service.store.rows.records import RunRecord

router = strict_router(tags=["graphs"])


@router.post(
    "/graph/{graph_id}/backtest",
    response_model=answers.Backtest,
    responses=refusals(404, 413, 415),
    openapi_extra=BACKTEST_BODY,
)
async def backtest(graph_id: GraphId, request: Request, services: ServicesDep, settings: SettingsDep) -> Json:
    """Evaluate this graph's edges on the stored states of another graph's runs.

    No tool is called and nothing is written.
    """
    asked = validate(requests.BacktestRequest, await read_json(request, settings.body_bytes_max)).runs
    record = await services.store.graphs.get(graph_id)
    graph = Graph.load(record.definition or "")
    found = await services.store.backtest.run(graph, await _runs(services, asked), settings.state_bytes_max)
    return Json(asdict(found))


async def _runs(services: Services, asked: requests.BacktestedRuns) -> Sequence[RunRecord]:
    """Return the runs to compare, newest first.

    With `run_ids`, these are the named runs that match the other filters. Otherwise, they are the newest matching runs.
    """
    if asked.run_ids is not None:
        ids = dict.fromkeys(map(parse_run_id, asked.run_ids))
        runs = [await services.store.runs.get(run_id) for run_id in ids]
        matching = [
            run for run in runs if asked.graph_id in (None, run.graph_id) and asked.status in (None, Status(run.status))
        ]
        return sorted(matching, key=lambda run: (run.created_at, run.run_id), reverse=True)[: asked.limit]
    if asked.graph_id is None:
        raise Invalid.at("/runs/graph_id", "is required unless there are `run_ids`")
    await services.store.graphs.get(parse_graph_id(asked.graph_id))
    statuses = () if asked.status is None else (asked.status.value,)
    return await services.store.runs.newest(RunFilter(statuses, asked.graph_id), asked.limit)
