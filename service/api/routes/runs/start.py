"""Start runs."""

from __future__ import annotations

from functools import partial
from typing import Any

from anyio import to_thread
from fastapi import Request

from service.api.body import read_json, validate
from service.api.idempotency import key_of, keyed
from service.api.large_bodies import off_loop
from service.api.parameters import new_run_id, services_in, settings_in, strict_router
from service.api.prefix import prefix
from service.api.responses import answers, requests
from service.api.responses.openapi import RUN_BODY, refusals
from service.api.responses.rendering import Json
from service.api.services import WRITE_WITHIN_S, ApiSettings, Services
from service.core import codec
from service.core.errors import Invalid, NotFound, StateInvalid
from service.core.state import State
from service.core.syntax.ids import parse_graph_id
from service.core.syntax.trace_context import Trace
from service.core.validation.spelling import closest
from service.spans import trace_of_start
from service.store.commands.start import Start
from service.store.rows.keys import Scope
from service.store.rows.operations.deliveries import notify_of

DEPTH_MAX = 1 + codec.DEPTH_MAX
"""How deep a body may nest. The state may nest to the full depth, and is one level down in the body."""
NAMES_COMPARED_MAX = 50
"""An unknown name is compared with the names of this many of the newest graphs, to suggest one."""

router = strict_router(tags=["runs"])


@router.post(
    "/graph/run",
    status_code=202,
    response_model=answers.RunStarted,
    responses={
        200: {"model": answers.RunStarted, "description": "This Idempotency-Key has already started the run"},
        **refusals(404, 409, 413, 415),
    },
    openapi_extra=RUN_BODY,
)
async def start_run(request: Request) -> Json:
    """Start a run of a graph. Once this is answered, the run is on disk."""
    # These are not dependencies, because FastAPI would take as long to resolve them as the rest of the call takes.
    services, settings = services_in(request), settings_in(request)
    key = key_of(request)
    asked = validate(requests.RunRequest, await read_json(request, settings.body_bytes_max, DEPTH_MAX))
    state = await off_loop(request, partial(initial_state, asked.initial_state, settings.state_bytes_max))
    idempotency = await off_loop(request, lambda: keyed(key, Scope.START, _body_of(asked)))
    notify = None if asked.notify is None else _notify(asked.notify, settings)
    more: dict[str, Any] = {"priority": asked.priority, "notify": notify, "trace": trace_of(request)}
    start = Start(new_run_id(), await _graph_id(asked, services), state, asked.tags, **more)
    run_id, is_new = await services.store.runs.start(start, idempotency, within_s=WRITE_WITHIN_S)
    return started(request, run_id, 202 if is_new else 200)


async def _graph_id(asked: requests.RunRequest, services: Services) -> str:
    """Return the id of the graph to run. An id that is given is returned even if no graph has it.

    Raise NotFound if no graph has the name or if the id is malformed. Raise Invalid unless either an id or a name is
    given.
    """
    if asked.graph is None:
        if asked.graph_id is None:
            raise Invalid.at("/graph_id", "is required unless there is a `graph`")
        return await _checked_id(asked.graph_id, services)
    if asked.graph_id is not None:
        raise Invalid.at("/graph", "give either `graph_id` or `graph`, not both")
    found = await services.store.graphs.latest([asked.graph])
    if not found:
        names = await services.store.graphs.newest_names(NAMES_COMPARED_MAX)
        hint = await to_thread.run_sync(closest, asked.graph, names)  # Long names take long to compare.
        raise NotFound("graph", asked.graph[:100], hint)
    return found[asked.graph]


async def _checked_id(graph_id: str, services: Services) -> str:
    try:
        return parse_graph_id(graph_id)
    except NotFound:
        if await services.store.graphs.latest([graph_id]):
            raise NotFound("graph", graph_id[:100], "; that is a name: give it as `graph`, not as `graph_id`") from None
        raise


def _body_of(asked: requests.RunRequest) -> dict[str, Any]:
    """Return what identifies the body, for its Idempotency-Key.

    Fields without a value and a priority of 0 are omitted, so that a body without a newer field is identified alike by
    all versions.
    """
    body = {name: value for name, value in dict(asked).items() if value is not None}
    if not asked.priority:
        del body["priority"]
    if asked.notify is not None:
        body["notify"] = dict(asked.notify)
    return body


def _notify(asked: requests.Notify, settings: ApiSettings) -> str:
    """Return the `notify` of a run as it is stored. Raise Invalid if this server may not notify its URL."""
    target = settings.webhook_hosts.target_of(asked.url)
    if isinstance(target, str):
        raise Invalid.at("/notify/url", target)
    if not settings.can_sign_webhooks:
        raise Invalid.at("/notify", "the server has no RUNGRAPH_WEBHOOK_SECRET, and sends nothing unsigned")
    return notify_of(asked.url, dict.fromkeys(asked.on))


def initial_state(value: requests.JsonObject, bytes_max: int) -> State:
    """Return the initial state of a run. Raise Invalid if `value` is not a state or is too large."""
    try:
        return State.of(value, bytes_max)
    except StateInvalid as error:
        raise Invalid.at("/initial_state", str(error)) from error


def trace_of(request: Request) -> Trace | None:
    """Return the trace for a run that `request` starts, or None if the run belongs to no trace."""
    return trace_of_start(request.headers.getlist("traceparent"), request.headers.getlist("tracestate"))


def started(request: Request, run_id: str, status_code: int = 202) -> Json:
    """Return the answer to a start: the run's id and its location."""
    return Json({"run_id": run_id}, status_code, {"Location": f"{prefix(request.scope)}/graph/state/{run_id}"})
