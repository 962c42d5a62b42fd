"""From an error to its answer: every refusal is a problem document (RFC 9457), at a handshake too."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response

from service.core import codec
from service.core.errors import Conflict, Fault, Invalid, NotFound, NotJson, Unavailable
from service.core.validation.spelling import closest_field

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
_DETAIL_CHARS_MAX = 2000


def problem(
    status: int, detail: str, *, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """The answer that refuses a call; what it echoes of the call is made printable."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail[:_DETAIL_CHARS_MAX],
    }
    if faults:
        document["errors"] = [{"pointer": fault.pointer, "message": fault.message} for fault in faults]
    return Response(codec.printable(codec.encode(document)), status, dict(headers or {}), PROBLEM_TYPE)


def install(app: FastAPI) -> None:
    """Let `app` answer every error with a problem; one that nobody foresaw is logged by the server."""
    for error, answer in _ANSWERS.items():
        app.add_exception_handler(error, _handler(answer))


def faults_of(errors: Sequence[Any], model: type[BaseModel] | None = None) -> list[Fault]:
    """The faults that pydantic found, each with its pointer; `model` is what the body was to be."""
    return [Fault(codec.pointer(*error["loc"]), _message(error, model)) for error in errors]


def _message(error: Any, model: type[BaseModel] | None) -> str:
    if error["type"] == "extra_forbidden":
        name = str(error["loc"][-1])
        return f"there is no field {name!r:.200}{closest_field(name, _fields_at(error['loc'][:-1], model))}"
    return _PLAIN.get(error["type"]) or re.sub("^(Value error, |Input )", "", error["msg"])


def _fields_at(place: Sequence[str | int], model: type[BaseModel] | None) -> Collection[str]:
    """The fields of the object at `place` in a body."""
    for segment in place:
        field = None if model is None else model.model_fields.get(str(segment))
        of = None if field is None else field.annotation
        model = of if isinstance(of, type) and issubclass(of, BaseModel) else None
    return () if model is None else model.model_fields


_PLAIN = {
    "missing": "it is required",
    "model_type": "should be an object",
    "dict_type": "should be an object",
    "list_type": "should be an array",
    "string_type": "should be a string",
}
"""In place of messages that speak of Python's types."""


def _handler(answer: Callable[[Any], Response]) -> Callable[[Any, Any], Any]:
    # A coroutine function: Starlette would run a plain one on a thread.
    async def handle(_connection: HTTPConnection, error: Any) -> Response:
        return answer(error)

    return handle


def _invalid(error: Invalid) -> Response:
    first, more = error.faults[0], len(error.faults) - 1
    detail = f"{first.pointer or '/'}: {first.message}" + (f" (and {more} more)" if more else "")
    return problem(422, detail, faults=error.faults)


def _not_validated(error: RequestValidationError | WebSocketRequestValidationError) -> Response:
    # Parameters, since bodies are read elsewhere: without FastAPI's word for where a parameter stands.
    return _invalid(Invalid(faults_of([{**fault, "loc": fault["loc"][1:]} for fault in error.errors()])))


def _no_thread(error: RuntimeError) -> Response:
    """503 where the process may have no more threads, which passes; any other is a fault of the server's."""
    if "can't start new thread" not in str(error):
        raise error
    return _unavailable(Unavailable("this server can start no more threads now; nothing was done"))


def _unavailable(error: Unavailable) -> Response:
    return problem(503, str(error), headers={"Retry-After": str(RETRY_AFTER_S)})


def _refused(error: HTTPException) -> Response:
    headers = dict(error.headers or {})
    if "Allow" in headers:
        # Starlette's is a set.
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
    return problem(error.status_code, error.detail, headers=headers)


_ANSWERS: dict[type[Exception], Callable[[Any], Response]] = {
    NotJson: lambda error: problem(400, str(error)),
    Invalid: _invalid,
    NotFound: lambda error: problem(404, str(error)),
    Conflict: lambda error: problem(409, str(error)),
    Unavailable: _unavailable,
    RuntimeError: _no_thread,
    RequestValidationError: _not_validated,
    WebSocketRequestValidationError: _not_validated,
    HTTPException: _refused,
    # Nobody is left to read this one.
    ClientDisconnect: lambda _error: problem(400, "the body broke off"),
    Exception: lambda _error: problem(500, "this is a fault of the server's; its log says more"),
}
