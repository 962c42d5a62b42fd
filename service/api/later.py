"""Calls that the contract has and this version does not: each says so."""

from __future__ import annotations

from fastapi import Request

from service.api.deps import routes
from service.core.errors import Invalid

router = routes(include_in_schema=False)


@router.get("/runs/{run_id}/why")
@router.post("/runs/{run_id}/cancel")
@router.post("/runs/{run_id}/pause")
@router.post("/runs/{run_id}/resume")
@router.post("/runs/{run_id}/fork")
@router.post("/runs/{run_id}/signals/{name}")
@router.post("/graph/{graph_id}/backtest")
@router.post("/session")
async def refuse(request: Request) -> None:
    """Whatever the ids and the body are."""
    raise Invalid.at("", f"{request.method} {request.url.path} is not yet supported")
