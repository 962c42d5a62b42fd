"""Read the path of a run: how often it visited each node and took each edge."""

from __future__ import annotations

from service.api.parameters import RunId, ServicesDep, strict_router
from service.api.responses import answers
from service.api.responses.openapi import refusals
from service.api.responses.rendering import Json

router = strict_router(tags=["runs"])


@router.get("/runs/{run_id}/path", response_model=answers.Path, responses=refusals(404))
async def get_path(run_id: RunId, services: ServicesDep) -> Json:
    """Return how often the run visited each node and took each edge.

    If a run has more than 100,000 steps, only the newest are counted and `partial` is true.
    """
    path = await services.store.details.path(run_id)
    nodes = {
        name: {
            "visits": node.visits,
            "failures": node.failures,
            "total_ms": round(node.total_ms, 3),
            "last_step": node.last_step,
        }
        for name, node in path.nodes.items()
    }
    edges = [
        {"from": source, "index": index, "to": target, "count": count}
        for (source, index, target), count in path.edges.items()
    ]
    return Json({"nodes": nodes, "edges": edges, "partial": path.is_partial})
