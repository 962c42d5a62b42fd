"""What the OpenAPI document says beyond the routes' own types: bodies, refusals, media types, examples."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import BaseRoute

from service.api.responses import examples, shapes
from service.api.responses.graph_schema import GRAPH_SCHEMAS
from service.api.responses.problems import PROBLEM_TYPE, RETRY_AFTER_S
from service.version import VERSION

TITLE = "Rungraph"
DESCRIPTION = (
    "A durable workflow engine. Post a graph, run it, follow it. Lines come live over the WebSocket "
    "`/ws/logs/{run_id}?after_seq=0` too, each message one line as JSON."
)
TAGS = [
    {"name": "graphs", "description": "Definitions: immutable, their ids their contents'."},
    {"name": "runs", "description": "Runs of a graph: start them, see where they are and how they got there."},
    {"name": "control", "description": "Steer runs: let them rest and go on, tell them, rewind them, ask them why."},
    {"name": "logs", "description": "The lines of a run, stored and live."},
    {"name": "demo", "description": "The example: data quality."},
    {"name": "tools", "description": "What nodes can call."},
    {"name": "health", "description": "For whoever watches the server."},
]

_REF = "#/components/schemas/"

_REASONS = {
    400: "Not HTTP or JSON as it has to be",
    401: "The server asks for its token",
    403: "Not from this client, Host or Origin",
    404: "Unknown, or malformed and so unknown",
    409: "Not in the run's status, or an Idempotency-Key of another body, or files that the server may not read",
    413: "The body is too large",
    414: "The URL is too long",
    415: "A body of a type that is not read here",
    422: "Refused, with a pointer to each fault",
    431: "The headers are too many, or too large",
    503: "The database cannot take it now; nothing was lost",
}
_ALWAYS = (400, 401, 403, 414, 422, 431, 503)


def refusals(*statuses: int, with_401: bool = True) -> dict[int | str, dict[str, Any]]:
    """The problems that a route answers with: those of every route, and `statuses`."""
    always = _ALWAYS if with_401 else [status for status in _ALWAYS if status != 401]
    return {status: _refusal(status) for status in sorted({*always, *statuses})}


def _refusal(status: int) -> dict[str, Any]:
    refusal: dict[str, Any] = {
        "description": _REASONS[status],
        "content": {PROBLEM_TYPE: {"schema": {"$ref": _REF + "Problem"}}},
    }
    if status == 503:
        refusal["headers"] = {
            "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}, "example": RETRY_AFTER_S}
        }
    return refusal


def _json(schema: dict[str, Any], examples: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema, "examples": examples}}


def _body(content: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    return {"requestBody": {"required": required, "content": content}}


def _of(name: str) -> dict[str, Any]:
    return {"$ref": _REF + name}


_ANY: dict[str, Any] = {}
"""The schema of whatever there is."""

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with the same body is the same call.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}

GRAPH_BODY = _body(_json(_of("GraphDocument"), examples.GRAPHS))
RUN_BODY = {**_body(_json(_of("RunRequest"), examples.RUNS)), "parameters": [_IDEMPOTENCY_KEY]}
RESUME_BODY = _body(_json(_of("ResumeRequest"), examples.RESUMES), required=False)
FORK_BODY = _body(_json(_of("ForkRequest"), examples.FORKS), required=False)
BACKTEST_BODY = _body(_json(_of("BacktestRequest"), examples.BACKTESTS))
SIGNAL_BODY = {**_body(_json(_ANY, examples.SIGNALS)), "parameters": [_IDEMPOTENCY_KEY]}
DEMO_BODY = _body(
    {
        **_json(_of("DemoRequest"), examples.DEMOS),
        # Any bytes: what they mean is for the run to find out.
        "text/csv": {"schema": _ANY, "examples": examples.TABLES},
    },
    required=False,
)

FILE = {
    "description": "The file",
    "content": {
        "text/csv": {"schema": {"type": "string"}},
        "text/plain": {"schema": {"type": "string"}},
        "application/yaml": {"schema": {}},
        "application/json": {"schema": {}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}

_EVENT = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[1-9][0-9]*$"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": _REF + "Line"},
        },
    },
    "required": ["id", "data"],
}

EVENTS = {
    "description": "Server-sent events: `id` is a line's `seq`, `data` the line",
    "content": {"text/event-stream": {"itemSchema": _EVENT}},
}


def document(app: FastAPI, *, with_token: bool) -> dict[str, Any]:
    """The OpenAPI document of `app`."""
    routes = _without_head(app.routes)
    made = get_openapi(title=TITLE, version=VERSION, description=DESCRIPTION, tags=TAGS, routes=routes)
    _restore_bodies(made, routes)
    components = made["components"]
    models: tuple[type[BaseModel], ...] = (
        shapes.RunRequest,
        shapes.ResumeRequest,
        shapes.ForkRequest,
        shapes.BacktestRequest,
        shapes.DemoRequest,
        shapes.Problem,
    )
    for model in models:
        shape = model.model_json_schema(ref_template=_REF + "{model}")
        components["schemas"] |= shape.pop("$defs", {}) | {model.__name__: shape}
    components["schemas"] |= GRAPH_SCHEMAS
    if with_token:
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"bearer": []}]
        made["paths"]["/livez"]["get"]["security"] = []
    return made


def _without_head(routes: Sequence[BaseRoute]) -> list[BaseRoute]:
    """`routes` without the method that says nothing beyond GET."""
    told = [copy(route) for route in routes]
    for route in told:
        if isinstance(route, APIRoute):
            route.methods = set(route.methods or ()) - {"HEAD"}
    return told


def _restore_bodies(made: dict[str, Any], routes: Sequence[BaseRoute]) -> None:
    """Put the bodies in once more, as they are: FastAPI drops every null, also those of an example's own."""
    for route in routes:
        body = (getattr(route, "openapi_extra", None) or {}).get("requestBody")
        if body is not None and isinstance(route, APIRoute):
            for method in route.methods or ():
                made["paths"][route.path_format][method.lower()]["requestBody"] = body
