"""Turn errors into problem documents (RFC 9457), for refused WebSocket handshakes as well."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any, get_args

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response
from starlette.routing import Match, Route

from service.core import codec
from service.core.errors import Conflict, Fault, Invalid, NotFound, NotJson, Unavailable
from service.core.syntax.pointer import pointer
from service.core.validation.spelling import closest_field, fields_hint

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
_DETAIL_CHARS_MAX = 2000
_PHRASES = {
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    416: "Requested Range Not Satisfiable",
    422: "Unprocessable Entity",
}
"""Reason phrases that Python 3.13 replaced by those of RFC 9110. Clients may compare titles with the older phrases."""


def problem(
    status: int, detail: str, *, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """Return a problem document as the answer to a call. Text echoed from the call is made printable."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": phrase_of(status),
        "status": status,
        "detail": detail[:_DETAIL_CHARS_MAX],
    }
    if faults:
        document["errors"] = [{"pointer": fault.pointer, "message": fault.message} for fault in faults]
    return Response(codec.printable(codec.encode(document)), status, dict(headers or {}), PROBLEM_TYPE)


def phrase_of(status: int) -> str:
    """Return the reason phrase of `status`. It does not depend on the version of Python."""
    return _PHRASES.get(status) or HTTPStatus(status).phrase


def install_handlers(app: FastAPI) -> None:
    """Let `app` answer every error with a problem document. The server logs unexpected errors."""
    for error, answer in _ANSWERS.items():
        app.add_exception_handler(error, _handler(answer))
    app.add_exception_handler(HTTPException, _refuse)


def faults_of(errors: Sequence[Any], model: type[BaseModel] | None = None) -> list[Fault]:
    """Return pydantic's errors as faults with pointers. `model` is the body's model, or None for faulty parameters."""
    return [Fault(pointer(*_place(error["loc"])), _subject(error) + _message(error, model)) for error in errors]


def _subject(error: Any) -> str:
    """Return the subject of a message about the whole body, or an empty text if a pointer names the faulty value."""
    return "" if error["loc"] else "the body "


def _place(location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Return `location` without the segment `[key]`, by which pydantic marks a faulty key of an object."""
    return location[:-1] if location and location[-1] == "[key]" else location


def _message(error: Any, model: type[BaseModel] | None) -> str:
    if error["type"] == "extra_forbidden":
        name = str(error["loc"][-1])
        known = _fields_at(error["loc"][:-1], model)
        what = "the object" if error["loc"][:-1] else "the body"
        return f"{what} has no field {name!r:.200}{closest_field(name, known) or fields_hint(known)}"
    return _PLAIN.get(error["type"]) or _PYTHONS.sub("", error["msg"])


def _fields_at(place: Sequence[str | int], model: type[BaseModel] | None) -> Collection[str]:
    """Return the names of the fields of the object at `place` in a body, or none if no model describes the object."""
    for segment in place:
        field = None if model is None else model.model_fields.get(str(segment))
        of = () if field is None else (field.annotation, *get_args(field.annotation))
        model = next((each for each in of if isinstance(each, type) and issubclass(each, BaseModel)), None)
    return () if model is None else model.model_fields


_PYTHONS = re.compile("^(Value error, |(Input|List|Dictionary|String) (?=should ))| after validation, not .*$")
"""Parts of pydantic's messages that name Python's types or tell a client nothing. They are removed."""

_PLAIN = {
    "missing": "it is required",
    "model_type": "should be an object",
    "dict_type": "should be an object",
    "list_type": "should be an array",
    "string_type": "should be a string",
}
"""Messages, by pydantic's type of error, that replace those in which pydantic names Python's types."""


def _handler(answer: Callable[[Any], Response]) -> Callable[[Any, Any], Any]:
    # This is a coroutine function because Starlette would run a plain function on a thread.
    async def handle(_connection: HTTPConnection, error: Any) -> Response:
        return answer(error)

    return handle


def _invalid(error: Invalid) -> Response:
    first, more = error.faults[0], len(error.faults) - 1
    detail = f"{first.pointer}: {first.message}" if first.pointer else first.message
    detail += f" (and {more} more)" if more else ""
    return problem(422, detail, faults=error.faults)


def _not_validated(error: RequestValidationError | WebSocketRequestValidationError) -> Response:
    # FastAPI validates only parameters, since `body` validates bodies. The first part of `loc` is the parameter's kind,
    # and the second is its name. The pointer is only the name, even if a single value of a list is faulty.
    return _invalid(Invalid(faults_of([{**fault, "loc": fault["loc"][1:2]} for fault in error.errors()])))


def _no_thread(error: RuntimeError) -> Response:
    """Answer 503 if no more threads can be started, which is temporary. Raise any other error again."""
    if "can't start new thread" not in str(error):
        raise error
    return _unavailable(Unavailable("this server can start no more threads now; nothing was done"))


def _unavailable(error: Unavailable) -> Response:
    return problem(503, str(error), headers={"Retry-After": str(RETRY_AFTER_S)})


async def _refuse(connection: HTTPConnection, error: Any) -> Response:
    headers, detail = dict(error.headers or {}), error.detail
    if error.status_code == 405:
        if methods := _methods_at(connection):
            headers["Allow"] = ", ".join(sorted(methods))
        detail = f"{connection.scope['path']!r:.300} takes {headers.get('Allow', 'other methods')} only"
    return problem(error.status_code, detail, headers=headers)


def _methods_at(connection: HTTPConnection) -> set[str]:
    """Return the methods of all routes that match the path. Starlette names only those of the first such route."""
    routes = [route for route in connection.app.routes if isinstance(route, Route)]
    found = [route.methods or () for route in routes if route.matches(connection.scope)[0] is not Match.NONE]
    return {method for methods in found for method in methods}


_ANSWERS: dict[type[Exception], Callable[[Any], Response]] = {
    NotJson: lambda error: problem(400, str(error)),
    Invalid: _invalid,
    NotFound: lambda error: problem(404, str(error)),
    Conflict: lambda error: problem(409, str(error)),
    Unavailable: _unavailable,
    RuntimeError: _no_thread,
    RequestValidationError: _not_validated,
    WebSocketRequestValidationError: _not_validated,
    # The client that would read this answer is gone.
    ClientDisconnect: lambda _error: problem(400, "the body broke off"),
    Exception: lambda _error: problem(500, "internal error; the server's log has the details"),
}
