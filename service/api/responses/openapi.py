"""Build the OpenAPI document, and the parts that the routes' types do not express: bodies, refusals, examples."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import BaseRoute

from service.api.responses import answers, examples, requests
from service.api.responses.graph_schema import GRAPH_SCHEMAS
from service.api.responses.problems import PROBLEM_TYPE, RETRY_AFTER_S
from service.version import VERSION

TITLE = "Rungraph"
DESCRIPTION = (
    "A durable workflow engine. Post a graph, run it, follow it. The WebSocket `/ws/logs/{run_id}?after_seq=0` also "
    "sends log lines live, one line per message as JSON."
)
TAGS = [
    {
        "name": "graphs",
        "description": "Graph definitions. They are immutable, and their ids derive from their content.",
    },
    {"name": "runs", "description": "Start runs, list them, and read their steps, states and files."},
    {"name": "control", "description": "Pause, resume, cancel and fork runs, send signals, and ask why a run waits."},
    {"name": "schedules", "description": "Start runs at times of day or at intervals."},
    {"name": "logs", "description": "Stored and live log lines of a run."},
    {"name": "demo", "description": "The data quality example."},
    {"name": "limits", "description": "Limits on how many attempts go on at once, or begin within a period."},
    {"name": "tools", "description": "The tools that nodes can call."},
    {"name": "session", "description": "Sessions of browsers."},
    {"name": "health", "description": "Probes for monitoring."},
]

_REF = "#/components/schemas/"

_REASONS = {
    400: "The request is not valid HTTP, or its body is not JSON",
    401: "The server's token is missing or wrong",
    403: "This client, Host or Origin may not call",
    404: "The id is unknown or malformed",
    409: "The run's status, another run or the use of the Idempotency-Key forbids it, or a file cannot be read",
    413: "The body is too large",
    414: "The URL is too long",
    415: "This call does not accept the body's media type",
    422: "The request is invalid; `errors` has a pointer to each fault",
    431: "The headers are too many or too large",
    503: "The database is unavailable; nothing acknowledged was lost",
}
_ALWAYS = (400, 401, 403, 414, 422, 431, 503)


def refusals(*statuses: int, with_401: bool = True) -> dict[int | str, dict[str, Any]]:
    """Describe the error answers of a route: those that every route may give, and those with `statuses`.

    `with_401` is False for a route that needs no token.
    """
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
"""The schema that accepts any value."""

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Repeating a call with the same key and body has no further effect.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}

_TRACE = [
    {
        "name": name,
        "in": "header",
        "required": False,
        "description": f"{what} (W3C Trace Context). A malformed one is ignored.",
        "schema": {"type": "string"},
    }
    for name, what in (("traceparent", "The trace that the run belongs to"), ("tracestate", "What vendors add to it"))
]

GRAPH_BODY = _body(_json(_of("GraphDocument"), examples.GRAPHS))
RUN_BODY = {**_body(_json(_of("RunRequest"), examples.RUNS)), "parameters": [_IDEMPOTENCY_KEY, *_TRACE]}
SCHEDULE_BODY = _body(_json(_of("ScheduleRequest"), examples.SCHEDULES))
SESSION_BODY = _body(_json(_of("SessionRequest"), examples.SESSIONS))
ACTION_BODY = _body(_json(_of("RunActionRequest"), examples.ACTIONS))
PRUNE_BODY = _body(_json(_of("PruneRequest"), examples.PRUNES))
LIMIT_BODY = _body(_json(_of("LimitRequest"), examples.LIMITS))
RESUME_BODY = _body(_json(_of("ResumeRequest"), examples.RESUMES), required=False)
FORK_BODY = {**_body(_json(_of("ForkRequest"), examples.FORKS), required=False), "parameters": _TRACE}
BACKTEST_BODY = _body(_json(_of("BacktestRequest"), examples.BACKTESTS))
SIGNAL_BODY = {**_body(_json(_ANY, examples.SIGNALS)), "parameters": [_IDEMPOTENCY_KEY]}
_DEMO_BODY = _body(
    {
        **_json(_of("DemoRequest"), examples.DEMOS),
        # The API accepts any bytes, because only the run parses the table.
        "text/csv": {"schema": _ANY, "examples": examples.TABLES},
    },
    required=False,
)
DEMO_BODY = {**_DEMO_BODY, "parameters": _TRACE}

FILE = {
    "description": "The file",
    "content": {
        "text/csv": {"schema": {"type": "string"}},
        "text/plain": {"schema": {"type": "string"}},
        "application/yaml": {"schema": {}},
        "application/json": {"schema": {}},
        "image/png": {"schema": {"type": "string", "format": "binary"}},
        "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}

MERMAID = {
    "description": "The text of a flowchart",
    "content": {
        "text/plain": {
            "schema": {"type": "string"},
            "example": 'flowchart TD\n    begin(( )) --> n0\n    n0["count#58; add"]\n',
        }
    },
}

METRICS = {
    "description": "Metrics in the text format of Prometheus",
    "content": {"text/plain": {"schema": {"type": "string"}}},
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
    """Return the OpenAPI document of `app`. `with_token` tells whether the server requires a token."""
    routes = _without_head(app.routes)
    made = get_openapi(title=TITLE, version=VERSION, description=DESCRIPTION, tags=TAGS, routes=routes)
    _restore_bodies(made, routes)
    components = made["components"]
    models: tuple[type[BaseModel], ...] = (
        requests.RunRequest,
        requests.LimitRequest,
        requests.ScheduleRequest,
        requests.SessionRequest,
        requests.RunActionRequest,
        requests.PruneRequest,
        requests.ResumeRequest,
        requests.ForkRequest,
        requests.BacktestRequest,
        requests.DemoRequest,
        answers.Problem,
    )
    for model in models:
        shape = model.model_json_schema(ref_template=_REF + "{model}")
        components["schemas"] |= shape.pop("$defs", {}) | {model.__name__: shape}
    components["schemas"] |= GRAPH_SCHEMAS
    if with_token:
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"bearer": []}]
        made["paths"]["/livez"]["get"]["security"] = []
        made["paths"]["/session"]["post"]["security"] = []
    return made


def _without_head(routes: Sequence[BaseRoute]) -> list[BaseRoute]:
    """Return copies of `routes` without HEAD, which is not worth describing beside GET."""
    described = [copy(route) for route in routes]
    for route in described:
        if isinstance(route, APIRoute):
            route.methods = set(route.methods or ()) - {"HEAD"}
    return described


def _restore_bodies(made: dict[str, Any], routes: Sequence[BaseRoute]) -> None:
    """Set the request bodies in `made` again, because FastAPI drops every null from them, even in examples."""
    for route in routes:
        body = (getattr(route, "openapi_extra", None) or {}).get("requestBody")
        if body is not None and isinstance(route, APIRoute):
            for method in route.methods or ():
                made["paths"][route.path_format][method.lower()]["requestBody"] = body
