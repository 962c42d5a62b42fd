"""The tools that a graph's nodes may name."""

from __future__ import annotations

from service.api.parameters import Served, routes
from service.api.responses import shapes
from service.api.responses.openapi import refusals
from service.api.responses.rendering import Json

router = routes(tags=["tools"])


@router.get("/tools", response_model=shapes.ToolList, responses=refusals())
async def list_tools(services: Served) -> Json:
    """The registered tools, by name."""
    items = [
        {"name": tool.name, "description": tool.description, "parameters": list(tool.parameters)}
        for _, tool in sorted(services.tools.items())
    ]
    return Json({"items": items})
