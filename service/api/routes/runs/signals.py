"""Send signals to runs. Once a call is answered, the signal is on disk in the run's mailbox."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request

from service.api.any_text import check_name
from service.api.body import read_json
from service.api.idempotency import key_of, keyed
from service.api.large_bodies import off_loop
from service.api.parameters import RunId, ServicesDep, SettingsDep, strict_router
from service.api.responses import answers
from service.api.responses.openapi import SIGNAL_BODY, refusals
from service.api.responses.rendering import Json
from service.api.services import WRITE_WITHIN_S
from service.core import codec

DEPTH_MAX = codec.DEPTH_MAX - 1
"""How deep a payload may nest. It becomes a value in the state, where it is one level down."""


router = strict_router(tags=["control"])


@router.get("/runs/{run_id}/signals", response_model=answers.SignalList, responses=refusals(404))
async def list_signals(run_id: RunId, services: ServicesDep) -> Json:
    """List the newest 10,000 signals that the run has accepted, oldest first.

    `step` is the number of the step that took the signal. It is null while the signal waits.
    """
    signals = await services.store.details.signals(run_id)
    items = [
        {"name": each.name, "accepted_at": each.accepted_at, "step": each.step, "bytes": each.byte_length}
        for each in signals
    ]
    return Json({"items": items})


@router.post(
    "/runs/{run_id}/signals/{name:any_text}",
    status_code=202,
    response_model=answers.SignalSent,
    responses={
        200: {"model": answers.SignalSent, "description": "This Idempotency-Key has already sent the signal"},
        **refusals(404, 409, 413, 415),
    },
    openapi_extra=SIGNAL_BODY,
)
async def send_signal(
    run_id: RunId,
    name: Annotated[str, Path(min_length=1, description="The name that a node of the run's graph waits for.")],
    request: Request,
    services: ServicesDep,
    settings: SettingsDep,
) -> Json:
    """Send a run a signal, with any JSON as its payload. The signal waits in the mailbox until a node takes it.

    A name that no node of the run's graph waits for is refused.
    """
    key = key_of(request)
    check_name(request, name)
    payload = await read_json(request, settings.body_bytes_max, DEPTH_MAX)
    idempotency = await off_loop(request, lambda: keyed(key, f"signal:{run_id}", {"name": name, "payload": payload}))
    text = await off_loop(request, lambda: codec.encode(payload))
    is_new = await services.store.signals.send(
        run_id, name, text, idempotency, expected_only=True, within_s=WRITE_WITHIN_S
    )
    return Json({"run_id": run_id, "name": name}, 202 if is_new else 200)
