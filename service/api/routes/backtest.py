"""Backtest over HTTP: what a graph would have made of the runs of another one, before anybody runs it."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import Request

from service.api.body import read_json, shaped
from service.api.parameters import GraphId, Served, Settings, known_graph_id, routes
from service.api.responses import shapes
from service.api.responses.openapi import BACKTEST_BODY, refusals
from service.api.responses.rendering import Json
from service.core.graph import Graph
from service.store.queries.runs import Filter

router = routes(tags=["graphs"])


@router.post(
    "/graph/{graph_id}/backtest",
    response_model=shapes.Backtest,
    responses=refusals(404, 413, 415),
    openapi_extra=BACKTEST_BODY,
)
async def backtest(graph_id: GraphId, request: Request, services: Served, settings: Settings) -> Json:
    """Ask this graph's edges of the states that runs of another graph had. No tool is called, nothing written."""
    asked = shaped(shapes.BacktestRequest, await read_json(request, settings.body_bytes_max)).runs
    record = await services.store.graphs.get(graph_id)
    await services.store.graphs.get(known_graph_id(asked.graph_id))
    graph = Graph.load(record.definition or "")
    which = Filter(asked.status, asked.graph_id)
    found = await services.store.backtest.run(graph, which, asked.limit, settings.state_bytes_max)
    return Json(asdict(found))
