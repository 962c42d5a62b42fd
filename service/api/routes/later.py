"""Calls that the contract has and this version does not: each says so."""

from __future__ import annotations

from fastapi import Request

from service.api.parameters import routes
from service.core.errors import Invalid

router = routes(include_in_schema=False)


@router.post("/session")
async def refuse(request: Request) -> None:
    """Whatever the body is."""
    raise Invalid.at("", f"{request.method} {request.url.path} is not yet supported")
