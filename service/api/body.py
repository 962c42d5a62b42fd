"""Read request bodies within a size limit, and decode them with core's decoder before any model validates them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from service.api import large_bodies
from service.api.large_bodies import off_loop
from service.api.responses.problems import faults_of
from service.core import codec
from service.core.errors import Invalid, NotJson
from service.core.validation import FAULTS_MAX

M = TypeVar("M", bound=BaseModel)
ABSENT = object()


def content_type(request: Request) -> str:
    """Return the request's media type without parameters, or an empty string if the request names none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json(
    request: Request,
    bytes_max: int,
    depth_max: int = codec.DEPTH_MAX,
    *,
    empty: Any = ABSENT,
    others: tuple[str, ...] = (),
) -> Any:
    """Return the decoded JSON body. If the body is absent and `empty` is given, return `empty`.

    A call with a large body waits for its turn. The message of a 415 also names `others`, media types that the caller
    reads without this function. Raise HTTPException (413, 415), NotJson (400), Invalid (422) for values that a state
    cannot hold, or Unavailable (503) if there are too many large bodies.
    """
    named = content_type(request)
    if named not in ("", "application/json") and not named.endswith("+json"):
        raise HTTPException(
            415, f"the body's content type is {named:.100}; send {' or '.join(('application/json', *others))}"
        )
    body = await read_bytes(request, bytes_max)
    if not body and empty is not ABSENT:
        return empty
    return await off_loop(request, partial(_decode, body, depth_max))


def _decode(body: bytes, depth_max: int) -> Any:
    try:
        return codec.decode(body, depth_max)
    except NotJson as error:
        if not body.strip():
            raise NotJson("the body is empty; this call takes JSON, see the examples at /docs") from error
        raise NotJson(f"the body is not JSON: {error}") from error


async def read_bytes(request: Request, bytes_max: int) -> bytes:
    received, pieces = 0, list[bytes]()
    async for piece in chunks(request, bytes_max):
        received += len(piece)
        large_bodies.receive(request, received, len(piece))
        pieces.append(piece)
    await large_bodies.take_turn(request)
    return b"".join(pieces)


async def chunks(request: Request, bytes_max: int) -> AsyncIterator[bytes]:
    """Yield the body in pieces, as they arrive. Raise HTTPException (413) once the body exceeds `bytes_max`."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > bytes_max):
        raise _too_large(bytes_max)
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > bytes_max:
            raise _too_large(bytes_max)
        if chunk:
            yield chunk


def validate(model: type[M], value: Any) -> M:
    """Return `value` as an instance of `model`. Raise Invalid with the first FAULTS_MAX faults."""
    try:
        return model.model_validate(value, strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise Invalid(faults_of(found[:FAULTS_MAX], model)) from error


def _too_large(bytes_max: int) -> HTTPException:
    return HTTPException(413, f"the body is larger than {bytes_max} bytes")
