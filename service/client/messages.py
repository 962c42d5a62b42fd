"""A call and its answer, as plain values."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

from service.client.errors import ApiError, NotRungraph

JsonObject = dict[str, Any]

JSON_TYPE = {"content-type": "application/json"}


class Request(NamedTuple):
    """A call of the API."""

    method: str
    path: str
    params: Mapping[str, Any] = {}
    """The query parameters. A parameter whose value is a list is sent once for each item."""
    content: bytes | AsyncIterator[bytes] = b""
    headers: Mapping[str, str] = {}
    is_repeatable: bool = False
    """Whether making the call twice has the same effect as making it once."""


class Answer(NamedTuple):
    """The answer to a call."""

    status: int
    body: bytes


def json_body(value: Any) -> bytes:
    """Return `value` as JSON. Raise ValueError or TypeError if it is not JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(errors="surrogatepass")


def read_object(answer: Answer) -> JsonObject:
    """Return the JSON object of an answer, or an empty dict for status 204.

    Raise ApiError if the call was refused, and NotRungraph if the body is not a JSON object.
    """
    if answer.status == 204:
        return {}
    try:
        document = json.loads(answer.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise NotRungraph(answer.status, "Not Rungraph", f"the answer is {answer.status}, and no JSON object")
    if answer.status >= 300:
        raise ApiError.of(answer.status, document)
    return document


def read_bytes(answer: Answer) -> bytes:
    """Return the body of an answer. Raise ApiError if the server refused the call."""
    if answer.status >= 300:
        read_object(answer)
    return answer.body
