"""The part of uvicorn's configuration that every server of the API has."""

from __future__ import annotations

from typing import Any

import uvicorn
from starlette.types import ASGIApp

from service.api.connections.http import HttpProtocol
from service.api.connections.inbound_limit import MESSAGE_BYTES_MAX


def uvicorn_config(app: ASGIApp, **options: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=HttpProtocol,
        # InboundLimit already drops the messages on a log stream. This bounds those of a connection that has none.
        ws_max_size=MESSAGE_BYTES_MAX,
        ws_per_message_deflate=False,
        **options,
    )
