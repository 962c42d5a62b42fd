"""Create graphs, read them back and list them."""

from __future__ import annotations

from itertools import islice
from typing import Any

from fastapi import Request
from starlette.responses import PlainTextResponse

from service.api.body import read_json
from service.api.parameters import GraphCursor, GraphId, Limit, ServicesDep, SettingsDep, strict_router
from service.api.responses import answers, rendering
from service.api.responses.mermaid import flowchart
from service.api.responses.openapi import GRAPH_BODY, MERMAID, refusals
from service.api.responses.rendering import Json
from service.api.services import WRITE_WITHIN_S, Services
from service.core import codec
from service.core.errors import Fault, Invalid
from service.core.graph import Graph
from service.core.syntax.ids import is_graph_id
from service.core.syntax.pointer import pointer
from service.core.validation import FAULTS_MAX, read_graph

router = strict_router(tags=["graphs"])


@router.post(
    "/graph/create",
    status_code=201,
    response_model=answers.GraphCreated,
    responses={200: {"model": answers.GraphCreated, "description": "The graph existed"}, **refusals(413, 415)},
    openapi_extra=GRAPH_BODY,
)
async def create_graph(request: Request, services: ServicesDep, settings: SettingsDep) -> Json:
    """Create a graph. Posting the same definition again returns the same id."""
    document = await read_json(request, settings.body_bytes_max, codec.DOCUMENT_DEPTH_MAX)
    graph = await _read(document, services)
    is_new = await services.store.graphs.add(graph, within_s=WRITE_WITHIN_S)
    warnings = [
        {
            "pointer": pointer("nodes", name),
            "message": f"node {name!r} cannot be reached from {graph.start_node!r}",
        }
        for name in graph.unreachable()
    ]
    return Json({"graph_id": graph.id, "warnings": warnings}, 201 if is_new else 200)


async def _read(document: Any, services: Services) -> Graph:
    """Return the graph that `document` defines. Raise Invalid with all faults, including unknown child graphs."""
    missing = await _missing_graphs(document, services)
    try:
        graph = read_graph(document, services.tools)
    except Invalid as error:
        raise Invalid([*error.faults, *missing][:FAULTS_MAX]) from error
    if missing:
        raise Invalid(missing)
    return graph


async def _missing_graphs(document: Any, services: Services) -> list[Fault]:
    """Return a fault for each graph node whose graph does not exist. `read_graph` reports ids that are not strings."""
    nodes = document.get("nodes") if isinstance(document, dict) else None
    if not isinstance(nodes, dict):
        return []
    asked = {name: node["graph"] for name, node in nodes.items() if isinstance(node, dict) and "graph" in node}
    asked = {name: graph_id for name, graph_id in asked.items() if isinstance(graph_id, str) and graph_id}
    known = await services.store.graphs.known({graph_id for graph_id in asked.values() if is_graph_id(graph_id)})
    missing = ((name, graph_id) for name, graph_id in asked.items() if graph_id not in known)
    return [
        Fault(pointer("nodes", name, "graph"), f"no graph {graph_id!r:.200}")
        for name, graph_id in islice(missing, FAULTS_MAX)
    ]


@router.get("/graph/{graph_id}", response_model=answers.Graph, responses=refusals(404))
async def get_graph(graph_id: GraphId, services: ServicesDep) -> Json:
    """Return a graph with its definition in canonical form."""
    return Json(rendering.graph(await services.store.graphs.get(graph_id)))


@router.get("/graph/{graph_id}/mermaid", response_class=PlainTextResponse, responses={200: MERMAID, **refusals(404)})
async def get_flowchart(graph_id: GraphId, services: ServicesDep) -> PlainTextResponse:
    """Return the graph as a Mermaid flowchart."""
    record = await services.store.graphs.get(graph_id)
    graph = Graph.load(record.definition or "")
    return PlainTextResponse(flowchart(graph), headers={"X-Content-Type-Options": "nosniff"})


@router.get("/graphs", response_model=answers.GraphPage, responses=refusals())
async def list_graphs(services: ServicesDep, limit: Limit = 100, cursor: GraphCursor | None = None) -> Json:
    """List all graphs, newest first, without their definitions."""
    page = await services.store.graphs.page(limit, cursor)
    return rendering.page(map(rendering.graph, page.items), page.next_cursor)
