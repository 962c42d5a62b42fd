"""Create graphs, read them back and list them."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import Request
from starlette.responses import PlainTextResponse

from service.api.body import read_json
from service.api.large_bodies import off_loop
from service.api.parameters import GraphCursor, GraphId, Limit, ServicesDep, SettingsDep, strict_router
from service.api.responses import answers, rendering, texts
from service.api.responses.graph_schema import schema_document
from service.api.responses.mermaid import flowchart
from service.api.responses.openapi import GRAPH_BODY, MERMAID, refusals
from service.api.responses.rendering import Json
from service.api.responses.texts import Text, write
from service.api.services import WRITE_WITHIN_S, Services
from service.core import codec
from service.core.errors import Invalid
from service.core.graph import Graph
from service.core.syntax.ids import is_graph_id
from service.core.syntax.pointer import pointer
from service.core.validation import FAULTS_MAX, child_graphs, missing_graphs, pin, read_graph
from service.core.validation.spelling import COMPARED_MAX

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
    graph = await _read(request, document, services)
    is_new = await services.store.graphs.add(graph, within_s=WRITE_WITHIN_S)
    warnings = [
        {
            "pointer": pointer("nodes", name),
            "message": f"node {name!r} cannot be reached from {graph.start_node!r}",
        }
        for name in graph.unreachable()
    ]
    return Json({"graph_id": graph.id, "warnings": warnings}, 201 if is_new else 200)


async def _read(request: Request, document: Any, services: Services) -> Graph:
    """Return the graph that `document` defines. In the result, child graphs are named by their ids.

    Raise Invalid with up to FAULTS_MAX faults, including unknown child graphs.
    """
    ids = await _ids_of_children(document, services)
    missing = missing_graphs(document, ids)
    if missing:
        missing = missing_graphs(document, ids, await services.store.graphs.newest_names(COMPARED_MAX))
    try:
        graph = await off_loop(request, lambda: read_graph(pin(document, ids), services.tools))
    except Invalid as error:
        raise Invalid([*error.faults, *missing][:FAULTS_MAX]) from error
    if missing:
        raise Invalid(missing)
    return graph


async def _ids_of_children(document: Any, services: Services) -> dict[str, str]:
    """Return the ids of the child graphs of `document`, each under the id or name by which the document names it.

    If a text is the id of one graph and the name of another, it means the id. Unknown graphs are omitted.
    """
    named = {found.graph for found in child_graphs(document)}
    known = await services.store.graphs.known({name for name in named if is_graph_id(name)})
    return {graph_id: graph_id for graph_id in known} | await services.store.graphs.latest(named - known)


@router.get("/graph/{graph_id}", response_model=answers.Graph, responses=refusals(404))
async def get_graph(graph_id: GraphId, services: ServicesDep) -> Json:
    """Return a graph with its definition in canonical form."""
    return Json(texts.graph(await services.store.graphs.get(graph_id)))


@router.get("/graph/{graph_id}/mermaid", response_class=PlainTextResponse, responses={200: MERMAID, **refusals(404)})
async def get_flowchart(graph_id: GraphId, services: ServicesDep) -> PlainTextResponse:
    """Return the graph as a Mermaid flowchart."""
    record = await services.store.graphs.get(graph_id)
    graph = Graph.load(record.definition or "")
    return PlainTextResponse(flowchart(graph), headers={"X-Content-Type-Options": "nosniff"})


@router.get("/schema/graph.json", response_model=answers.JsonSchema, responses=refusals())
async def get_schema() -> Json:
    """Return the JSON Schema of graph documents. A document may refer to it by `$schema`."""
    return Json(_schema_text())


@cache
def _schema_text() -> Text:
    return write(schema_document())


@router.get("/graphs", response_model=answers.GraphPage, responses=refusals())
async def list_graphs(services: ServicesDep, limit: Limit = 100, cursor: GraphCursor | None = None) -> Json:
    """List all graphs, newest first, without their definitions."""
    page = await services.store.graphs.page(limit, cursor)
    return rendering.page(map(texts.graph, page.items), page.next_cursor)
