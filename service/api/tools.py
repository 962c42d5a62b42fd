"""The tools that a graph's nodes may name."""

from __future__ import annotations

from service.api import schemas
from service.api.deps import Served, routes
from service.api.openapi import refusals
from service.api.views import Json

router = routes(tags=["tools"])


@router.get("/tools", response_model=schemas.ToolList, responses=refusals())
async def list_tools(services: Served) -> Json:
    """The registered tools, by name."""
    items = [
        {"name": tool.name, "description": tool.description, "parameters": list(tool.parameters)}
        for _, tool in sorted(services.tools.items())
    ]
    return Json({"items": items})
