"""Types of the routes' parameters: services, ids and query parameters, all parsed strictly.

A malformed id is reported as unknown and never reaches the database.
"""

from __future__ import annotations

import inspect
import os
import random
import re
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, ClassVar, cast, get_origin

from fastapi import APIRouter, Depends, Path, Query
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BeforeValidator, Field
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Match, request_response
from starlette.types import Scope

import service.api.any_text  # noqa: F401  # registers the converter
from service.api import large_bodies
from service.api.limits import LIMIT_MAX
from service.api.services import ApiSettings, Services
from service.core.errors import Fault, Invalid
from service.core.syntax.ids import is_graph_id, is_run_id, parse_graph_id, parse_run_id
from service.core.syntax.numbers import NUMBER_MAX
from service.core.validation.spelling import closest_field

_INTEGER = re.compile("0|[1-9][0-9]{0,18}")
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,18})(\.[0-9]{1,30})?")


# The system seeds this once. Asking the system for every id would release the interpreter lock to the engine's thread.
_random = random.Random()
# Without this, two processes forked from one would create the same ids.
os.register_at_fork(after_in_child=_random.seed)


def new_run_id() -> str:
    """Return a new UUID of version 7. Such ids sort by the millisecond of their creation."""
    value = (time.time_ns() // 1_000_000 << 80) | _random.getrandbits(80)
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0b11 << 62) | 0b10 << 62
    return str(uuid.UUID(int=value))


def _integer(text: Any) -> Any:
    if isinstance(text, str) and not _INTEGER.fullmatch(text):
        raise ValueError("must be an integer, in digits only")
    return text


def _number(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError("must be a number, in digits with at most one decimal point")
    return float(text) if match[1] else int(text)


def _cursor(is_id: Callable[[str], bool]) -> AfterValidator:
    def check(text: str) -> str:
        if not is_id(text):
            raise ValueError("must be the `next_cursor` of an earlier page")
        return text

    return AfterValidator(check)


def _is_place(text: str) -> bool:
    return is_run_id(text.rpartition("/")[2])  # The store checks the part before the slash.


def services_in(connection: HTTPConnection) -> Services:
    return cast(Services, connection.app.state.services)


def settings_in(connection: HTTPConnection) -> ApiSettings:
    return cast(ApiSettings, connection.app.state.settings)


# These are coroutine functions because FastAPI would run plain functions on a thread.
async def services_of(connection: HTTPConnection) -> Services:
    return services_in(connection)


async def settings_of(connection: HTTPConnection) -> ApiSettings:
    return settings_in(connection)


def strict_router(**options: Any) -> APIRouter:
    """Return a router whose routes refuse unknown query parameters and use their function's name as operation id."""
    return APIRouter(route_class=StrictRoute, generate_unique_id_function=lambda route: route.name, **options)


class StrictRoute(APIRoute):
    """A route that refuses unknown query parameters, without the cost of a dependency.

    A route with path parameters does not match a path that another route has literally: `/runs/counts` names no run.
    A GET route also answers HEAD, as Starlette's own routes do; ConnectionMiddleware drops the body. A function whose
    only parameter is the request is called directly, because FastAPI's dependency resolution would take longer than
    the function itself.
    """

    _literal_paths: ClassVar[set[str]] = set()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if not self.param_convertors:
            self._literal_paths.add(self.path)
        methods = set(self.methods or ())
        self.methods = methods | ({"HEAD"} if "GET" in methods else set())
        if self._takes_request_alone():
            self.app = request_response(self.get_route_handler())

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        if match is not Match.NONE and self.param_convertors:
            names = {name: found["path_params"][name] for name in self.param_convertors}
            if self.path_format.format(**names) in self._literal_paths:
                return Match.NONE, {}
        return match, found

    def _takes_request_alone(self) -> bool:
        return list(inspect.signature(self.endpoint).parameters) == ["request"] and not self.dependencies

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = self.endpoint if self._takes_request_alone() else super().get_route_handler()

        async def handle_known(request: Request) -> Response:
            if request.scope["query_string"]:
                await refuse_unknown_query(request)
            try:
                return await handle(request)
            finally:
                large_bodies.release(request)

        return handle_known


async def refuse_unknown_query(connection: HTTPConnection) -> None:
    """Raise Invalid for query parameters that the route does not have, or that are repeated but take one value."""
    parameters = _query_parameters(connection.scope["route"].dependant)
    known = {parameter.alias for parameter in parameters}
    repeatable = {each.alias for each in parameters if get_origin(each.field_info.annotation) is list}
    names = [name for name, _ in connection.query_params.multi_items()]
    faults = [
        Fault(f"/{name[:100]}", f"there is no query parameter {name!r:.200}{closest_field(name, known)}")
        for name in dict.fromkeys(names)
        if name not in known
    ]
    faults += [Fault(f"/{name}", "given more than once") for name in known - repeatable if names.count(name) > 1]
    if faults:
        raise Invalid(faults)


def _query_parameters(dependant: Any) -> list[Any]:
    """Return the query parameters of a route's function and of its dependencies."""
    inner = [parameter for each in dependant.dependencies for parameter in _query_parameters(each)]
    return [*dependant.query_params, *inner]


ServicesDep = Annotated[Services, Depends(services_of)]
SettingsDep = Annotated[ApiSettings, Depends(settings_of)]
RunId = Annotated[str, AfterValidator(parse_run_id), Path(description="The id of a run.")]
GraphId = Annotated[str, AfterValidator(parse_graph_id), Path(description="The id of a graph.")]
Number = Annotated[int, Field(ge=0, le=NUMBER_MAX), BeforeValidator(_integer)]
DecimalNumber = Annotated[int | float, Field(ge=0, le=NUMBER_MAX), BeforeValidator(_number)]
Limit = Annotated[
    int, Field(ge=1, le=LIMIT_MAX), BeforeValidator(_integer), Query(description="The maximum number of items.")
]
AfterSeq = Annotated[Number, Query(description="Return lines with a higher `seq`.")]
BeforeSeq = Annotated[Number, Query(description="Return lines with a lower `seq`, newest first.")]
BeforeStep = Annotated[Number, Query(description="Return steps with a lower number, newest first.")]
AfterStep = Annotated[Number, Query(description="Return steps with a higher number.")]
RunCursor = Annotated[str, _cursor(_is_place), Query(description="The `next_cursor` of the previous page.")]
GraphCursor = Annotated[str, _cursor(is_graph_id), Query(description="The `next_cursor` of the previous page.")]
