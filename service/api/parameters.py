"""What routes ask for by type: the services, ids, and query parameters, each read strictly.

A malformed id is an unknown one and never reaches the database.
"""

from __future__ import annotations

import inspect
import random
import re
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, cast, get_origin

from fastapi import APIRouter, Depends, Path, Query
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BeforeValidator, Field
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import request_response

from service.api.services import ApiSettings, Services
from service.core.errors import Fault, Invalid, NotFound
from service.core.ids import is_graph_id, is_run_id
from service.core.validation.spelling import closest_field

NUMBER_MAX = 2**63 - 1
LIMIT_MAX = 1000

_INTEGER = re.compile("0|[1-9][0-9]{0,18}")
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,18})(\.[0-9]{1,30})?")


# Seeded by the system once: asked for each id, it would hand the interpreter over to the engine's thread each time.
_chance = random.Random()


def new_run_id() -> str:
    """A UUID of version 7: ids that are made later sort later."""
    value = (time.time_ns() // 1_000_000 << 80) | _chance.getrandbits(80)
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0b11 << 62) | 0b10 << 62
    return str(uuid.UUID(int=value))


def known_run_id(text: str) -> str:
    """`text` where it can be a run's id; NotFound where it cannot."""
    if not is_run_id(text):
        raise NotFound("run", text[:100])
    return text


def known_graph_id(text: str) -> str:
    if not is_graph_id(text):
        raise NotFound("graph", text[:100])
    return text


def _integer(text: Any) -> Any:
    if isinstance(text, str) and not _INTEGER.fullmatch(text):
        raise ValueError("an integer, in digits alone")
    return text


def _number(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError("a number, in digits with at most one decimal point")
    return float(text) if match[1] else int(text)


def _cursor(is_id: Callable[[str], bool]) -> AfterValidator:
    def check(text: str) -> str:
        if not is_id(text):
            raise ValueError("a cursor is one that an earlier page gave")
        return text

    return AfterValidator(check)


def services_in(connection: HTTPConnection) -> Services:
    return cast(Services, connection.app.state.services)


def settings_in(connection: HTTPConnection) -> ApiSettings:
    return cast(ApiSettings, connection.app.state.settings)


# Coroutine functions: FastAPI would run plain ones on a thread.
async def services_of(connection: HTTPConnection) -> Services:
    return services_in(connection)


async def settings_of(connection: HTTPConnection) -> ApiSettings:
    return settings_in(connection)


def routes(**options: Any) -> APIRouter:
    """A router whose routes are strict about their query, and go by their functions' names."""
    return APIRouter(route_class=StrictRoute, generate_unique_id_function=lambda route: route.name, **options)


class StrictRoute(APIRoute):
    """A route that refuses query parameters as `known_query` does, without the price of a dependency.

    Where it answers GET it answers HEAD too, as Starlette's own routes do; `stop` drops the body.
    A function that takes the request and nothing else is called as Starlette calls it: FastAPI takes longer to find
    that there is nothing to solve than such a function takes.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        methods = set(self.methods or ())
        self.methods = methods | ({"HEAD"} if "GET" in methods else set())
        if self._takes_request_alone():
            self.app = request_response(self.get_route_handler())

    def _takes_request_alone(self) -> bool:
        return list(inspect.signature(self.endpoint).parameters) == ["request"] and not self.dependencies

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = self.endpoint if self._takes_request_alone() else super().get_route_handler()

        async def handle_known(request: Request) -> Response:
            if request.scope["query_string"]:
                await known_query(request)
            return await handle(request)

        return handle_known


async def known_query(connection: HTTPConnection) -> None:
    """Refuse query parameters that the route does not have, and those that are given twice."""
    parameters = connection.scope["route"].dependant.query_params
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


Served = Annotated[Services, Depends(services_of)]
Settings = Annotated[ApiSettings, Depends(settings_of)]
RunId = Annotated[str, AfterValidator(known_run_id), Path(description="The id of a run.")]
GraphId = Annotated[str, AfterValidator(known_graph_id), Path(description="The id of a graph.")]
Number = Annotated[int, Field(ge=0, le=NUMBER_MAX), BeforeValidator(_integer)]
Decimal = Annotated[int | float, Field(ge=0, le=NUMBER_MAX), BeforeValidator(_number)]
Limit = Annotated[int, Field(ge=1, le=LIMIT_MAX), BeforeValidator(_integer), Query(description="The most items.")]
AfterSeq = Annotated[Number, Query(description="The `seq` of the last line seen.")]
AfterStep = Annotated[Number, Query(description="The number of the last step seen.")]
RunCursor = Annotated[str, _cursor(is_run_id), Query(description="`next_cursor` of the page before.")]
GraphCursor = Annotated[str, _cursor(is_graph_id), Query(description="`next_cursor` of the page before.")]
