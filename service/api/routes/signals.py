"""Signals: what somebody outside tells a run. Once answered, one lies in the run's mailbox, on disk."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote_to_bytes

from fastapi import Path, Request
from starlette.convertors import Convertor, register_url_convertor

from service.api.body import read_json
from service.api.idempotency import key_of, keyed
from service.api.parameters import RunId, Served, Settings, routes
from service.api.responses import shapes
from service.api.responses.openapi import SIGNAL_BODY, refusals
from service.api.responses.rendering import Json
from service.api.services import WRITE_WITHIN_S
from service.core import codec
from service.core.errors import Invalid

DEPTH_MAX = codec.DEPTH_MAX - 1
"""The payload becomes the value of a key of the state, one level down."""


class _AnyText(Convertor[str]):
    """Of a path, all that is left of it: a graph can name signals with a slash in them, or a line feed."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("any_text", _AnyText())

router = routes(tags=["control"])


@router.post(
    "/runs/{run_id}/signals/{name:any_text}",
    status_code=202,
    response_model=shapes.SignalSent,
    responses={
        200: {"model": shapes.SignalSent, "description": "This Idempotency-Key has sent it before"},
        **refusals(404, 409, 413, 415),
    },
    openapi_extra=SIGNAL_BODY,
)
async def send_signal(
    run_id: RunId,
    name: Annotated[str, Path(min_length=1, description="The name that a node of the run's graph waits for.")],
    request: Request,
    services: Served,
    settings: Settings,
) -> Json:
    """Send a run a signal, with any JSON as its payload. It waits in the run's mailbox until a node takes it.

    A name that no node of the run's graph waits for is refused.
    """
    key = key_of(request)
    _check_name(request, name)
    payload = await read_json(request, settings.body_bytes_max, DEPTH_MAX)
    idempotency = keyed(key, f"signal:{run_id}", {"name": name, "payload": payload})
    is_new = await services.store.signals.send(
        run_id, name, codec.encode(payload), idempotency, expected_only=True, within_s=WRITE_WITHIN_S
    )
    return Json({"run_id": run_id, "name": name}, 202 if is_new else 200)


def _check_name(request: Request, name: str) -> None:
    try:
        # The server puts U+FFFD in place of bytes that are no UTF-8: no client has meant that name.
        unquote_to_bytes(request.scope["raw_path"]).decode()
        codec.check(name)
    except UnicodeDecodeError as error:
        raise Invalid.at("/name", "a signal's name is UTF-8") from error
    except codec.ValueUnfit as unfit:
        raise Invalid.at("/name", unfit.message) from unfit
