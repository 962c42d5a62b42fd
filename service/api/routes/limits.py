"""Create, change, list and delete limits on attempts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import Path, Query, Request
from pydantic import AfterValidator, Field
from starlette.responses import Response

from service.api.any_text import check_name
from service.api.body import read_json, validate
from service.api.parameters import Limit as Count
from service.api.parameters import ServicesDep, SettingsDep, strict_router
from service.api.responses import answers, requests
from service.api.responses.openapi import LIMIT_BODY, refusals
from service.api.responses.rendering import Json, page
from service.api.responses.texts import write
from service.api.services import WRITE_WITHIN_S
from service.core import codec
from service.core.errors import Invalid, NotFound
from service.core.queueing.limits import LIMIT_NAME_CHARS_MAX, Limit, fault_of_name


def _check_cursor(text: str) -> str:
    if fault_of_name(text) is not None:
        raise ValueError("must be the `next_cursor` of an earlier page")
    return text


router = strict_router(tags=["limits"])

NewName = Annotated[str, Field(min_length=1, max_length=LIMIT_NAME_CHARS_MAX), Path(description="The limit's name.")]
Name = Annotated[str, Path(description="The limit's name.")]
Cursor = Annotated[str, AfterValidator(_check_cursor), Query(description="The `next_cursor` of the previous page.")]


@router.get("/limits", response_model=answers.LimitPage, responses=refusals())
async def list_limits(services: ServicesDep, limit: Count = 100, cursor: Cursor | None = None) -> Json:
    """List the limits by name."""
    found = await services.store.limits.page(limit, cursor)
    return page([write(asdict(item)) for item in found.items], found.next_cursor)


@router.get("/limits/{name:any_text}", response_model=answers.LimitItem, responses=refusals(404))
async def get_limit(name: Name, request: Request, services: ServicesDep) -> Json:
    """Return a limit, the number of attempts that count towards it, and the number of runs that wait for it."""
    _check_known(request, name)
    return Json(asdict(await services.store.limits.get(name)))


@router.put(
    "/limits/{name:any_text}",
    status_code=200,
    response_model=answers.LimitItem,
    responses={201: {"model": answers.LimitItem, "description": "The limit is new"}, **refusals(413, 415)},
    openapi_extra=LIMIT_BODY,
)
async def put_limit(name: NewName, request: Request, services: ServicesDep, settings: SettingsDep) -> Json:
    """Create or change a limit. Runs that wait for it go on as soon as the changed limit allows."""
    check_name(request, name)
    asked = validate(requests.LimitRequest, await read_json(request, settings.body_bytes_max))
    is_new = await services.store.limits.put(name, Limit(asked.max, asked.per_s), within_s=WRITE_WITHIN_S)
    return Json(asdict(await services.store.limits.get(name)), 201 if is_new else 200)


@router.delete("/limits/{name:any_text}", status_code=204, response_class=Response, responses=refusals(404))
async def delete_limit(name: Name, request: Request, services: ServicesDep) -> Response:
    """Delete a limit. It binds nobody any more, and runs that wait for it go on."""
    _check_known(request, name)
    await services.store.limits.delete(name, within_s=WRITE_WITHIN_S)
    return Response(status_code=204)


def _check_known(request: Request, name: str) -> None:
    """Raise NotFound for a name that no limit can have."""
    try:
        check_name(request, name)
    except Invalid as error:
        raise NotFound("limit", codec.printable(name[:100])) from error
