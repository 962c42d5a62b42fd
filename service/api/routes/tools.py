"""List the tools that a graph's nodes may name."""

from __future__ import annotations

from service.api.parameters import ServicesDep, strict_router
from service.api.responses import answers
from service.api.responses.openapi import refusals
from service.api.responses.rendering import Json

router = strict_router(tags=["tools"])


@router.get("/tools", response_model=answers.ToolList, responses=refusals())
async def list_tools(services: ServicesDep) -> Json:
    """List the registered tools by name."""
    items = [
        {
            "name": tool.name,
            "description": tool.description,
            "parameters": list(tool.parameters),
            "pure": tool.is_pure,
            **({} if tool.limit is None else {"limit": tool.limit}),
            **({} if tool.state_type is None else {"state_schema": tool.state_type.schema}),
        }
        for _, tool in sorted(services.tools.items())
    ]
    return Json({"items": items})
